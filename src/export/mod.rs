//! Export: from a live GitLab to a config that declares what is there, and says what it leaves out.

pub mod factor;
