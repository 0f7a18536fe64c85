//! What lives in groups and repos alike: one type makes two kinds, told apart by what they live in.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::inventory::{self, Inventory, World};
use super::{Kind, group, repo};
use crate::core::{Address, Key};
use crate::live::gitlab::{self, Reader};

/// A `T` that lives in an `H`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(
    transparent,
    bound(serialize = "T: Serialize", deserialize = "T: DeserializeOwned")
)]
pub struct In<T, H> {
    /// What lives there.
    pub value: T,
    #[serde(skip)]
    holder: PhantomData<H>,
}

impl<T: JsonSchema, H> JsonSchema for In<T, H> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A kind that others live in.
pub trait Holder: Kind {
    /// What REST and GraphQL call many of it.
    const PLURAL: &'static str;
    /// Its type in GraphQL.
    const TYPE: &'static str;

    /// All that a run is about.
    fn inventory(
        cx: &Reader,
        world: &World,
    ) -> impl Future<Output = Result<Arc<Inventory>, gitlab::Error>> + Send;

    /// The address of what the resource of `key` lives in.
    fn of(key: &Key) -> Address {
        Address::new(Self::NAME, Key::top(key.path.clone()))
    }
}

impl Holder for group::Group {
    const PLURAL: &'static str = "groups";
    const TYPE: &'static str = "Group";

    async fn inventory(cx: &Reader, world: &World) -> Result<Arc<Inventory>, gitlab::Error> {
        inventory::groups(cx, world).await
    }
}

impl Holder for repo::Repo {
    const PLURAL: &'static str = "projects";
    const TYPE: &'static str = "Project";

    async fn inventory(cx: &Reader, world: &World) -> Result<Arc<Inventory>, gitlab::Error> {
        inventory::repos(cx, world).await
    }
}
