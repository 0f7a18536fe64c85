//! Content on its way: never whole in memory, measured as it goes by, turned inside out by code that reads and writes.

use std::io::{self, Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ring::digest::{Context, SHA256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Content, chunk by chunk. An error is the last item; without one, the content is whole.
pub(super) type Source = stream::BoxStream<'static, io::Result<Bytes>>;

/// How many chunks wait between two ends.
const WAITING: usize = 16;
/// How large a chunk is that we cut ourselves.
const CHUNK: usize = 64 << 10;
/// How much of a program's complaints is kept.
const COMPLAINTS: u64 = 16 << 10;

/// What went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    /// Bytes.
    pub size: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// Measures content while it goes by.
#[derive(Clone)]
pub(super) struct Meter(Arc<Mutex<(u64, Context)>>);

impl Meter {
    /// The same content, and what measures it.
    pub fn on(source: Source) -> (Source, Meter) {
        let meter = Meter(Arc::new(Mutex::new((0, Context::new(&SHA256)))));
        let measuring = meter.clone();
        let source = source.inspect_ok(move |chunk| {
            let mut seen = measuring.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.0 += chunk.len() as u64;
            seen.1.update(chunk);
        });
        (source.boxed(), meter)
    }

    /// What went by so far.
    pub fn measure(&self) -> Measure {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Measure {
            size: seen.0,
            sha256: hex(seen.1.clone().finish().as_ref()),
        }
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Content that is in memory.
pub(super) fn of(content: Vec<u8>) -> Source {
    stream::iter([Ok(Bytes::from(content))]).boxed()
}

/// A file.
pub(super) fn of_file(file: tokio::fs::File) -> Source {
    stream::try_unfold(file, async |mut file| {
        let mut chunk = vec![0; CHUNK];
        let size = file.read(&mut chunk).await?;
        chunk.truncate(size);
        Ok((size > 0).then(|| (Bytes::from(chunk), file)))
    })
    .boxed()
}

/// All of it, which must be small.
pub(super) async fn collect(source: Source, most: usize) -> io::Result<Vec<u8>> {
    let all = source.try_fold(Vec::new(), async |mut all: Vec<u8>, chunk| {
        if all.len() + chunk.len() > most {
            return Err(io::Error::other(format!("it has more than {most} bytes")));
        }
        all.extend_from_slice(&chunk);
        Ok(all)
    });
    all.await
}

/// Reads it to its end, for what measures it.
pub(super) async fn drain(source: Source) -> io::Result<()> {
    source.try_for_each(async |_| Ok(())).await
}

/// What `work` writes while it reads `source`, on a thread of its own.
pub(super) fn turned(
    mut source: Source,
    work: impl FnOnce(&mut dyn Read, &mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Source {
    let (feed, fed) = mpsc::channel(WAITING);
    let (written, output) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        while let Some(chunk) = source.next().await {
            // The other end may have what it needs.
            if feed.send(chunk).await.is_err() {
                break;
            }
        }
    });
    tokio::task::spawn_blocking(move || {
        let mut reader = Reader {
            fed,
            chunk: Bytes::new(),
        };
        let mut writer = io::BufWriter::with_capacity(CHUNK, Writer(written.clone()));
        let done = work(&mut reader, &mut writer).and_then(|()| writer.flush());
        if let Err(error) = done {
            // Nobody may be left to hear it.
            let _ = written.blocking_send(Err(error));
        }
    });
    received(output)
}

fn received(mut output: mpsc::Receiver<io::Result<Bytes>>) -> Source {
    stream::poll_fn(move |cx| output.poll_recv(cx)).boxed()
}

struct Reader {
    fed: mpsc::Receiver<io::Result<Bytes>>,
    chunk: Bytes,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.fed.blocking_recv() {
                Some(chunk) => self.chunk = chunk?,
                None => return Ok(0),
            }
        }
        let size = buffer.len().min(self.chunk.len());
        buffer[..size].copy_from_slice(&self.chunk.split_to(size));
        Ok(size)
    }
}

struct Writer(mpsc::Sender<io::Result<Bytes>>);

impl Write for Writer {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(chunk)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a program makes of it: its standard output. A program that fails is an error; when `source` fails, the program is killed
/// rather than told that this was all.
pub(super) fn through(mut program: Command, source: Source) -> Source {
    let name = program.as_std().get_program().to_string_lossy().into_owned();
    let (written, output) = mpsc::channel(WAITING);
    program.stdin(Stdio::piped());
    program.stdout(Stdio::piped());
    program.stderr(Stdio::piped());
    program.kill_on_drop(true);
    tokio::spawn(async move {
        let done = match program.spawn() {
            Ok(child) => run(&name, child, source, &written).await,
            Err(error) => Err(not_started(&name, error)),
        };
        if let Err(error) = done {
            // Nobody may be left to hear it.
            let _ = written.send(Err(error)).await;
        }
    });
    received(output)
}

/// Why a program could not be started.
pub(super) fn not_started(name: &str, error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::other(format!("the program {name} is not installed")),
        _ => io::Error::other(format!("the program {name} could not be started: {error}")),
    }
}

async fn run(
    name: &str,
    mut child: Child,
    mut source: Source,
    written: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let gone = || io::Error::other("its pipes are gone");
    let mut stdin = Some(child.stdin.take().ok_or_else(gone)?);
    let mut stdout = child.stdout.take().ok_or_else(gone)?;
    let mut stderr = child.stderr.take().ok_or_else(gone)?;
    let feed = async {
        while let (Some(chunk), Some(stdin)) = (source.next().await, &mut stdin) {
            match stdin.write_all(&chunk?).await {
                // It says itself why it wants no more.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                written => written?,
            }
        }
        // Its end is the end of the input.
        stdin = None;
        Ok(())
    };
    let drain = async {
        loop {
            let mut chunk = vec![0; CHUNK];
            let size = stdout.read(&mut chunk).await?;
            chunk.truncate(size);
            if size == 0 {
                return Ok(());
            }
            let sent = written.send(Ok(Bytes::from(chunk))).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
    };
    let complain = async {
        let mut complaints = Vec::new();
        (&mut stderr)
            .take(COMPLAINTS)
            .read_to_end(&mut complaints)
            .await?;
        tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
        io::Result::Ok(complaints)
    };
    let done = tokio::select! {
        done = async { tokio::try_join!(feed, drain, complain) } => done,
        () = written.closed() => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
    };
    let complaints = match done {
        Ok(((), (), complaints)) => complaints,
        Err(error) => {
            // Before its input ends: it would take that for all there is.
            child.kill().await?;
            return Err(error);
        }
    };
    let status = child.wait().await?;
    match status.success() {
        true => Ok(()),
        false => {
            let complaints = String::from_utf8_lossy(&complaints);
            Err(io::Error::other(format!(
                "the program {name} ended with {status}: {}",
                complaints.trim()
            )))
        }
    }
}

/// The one file that a tar archive is of.
pub(super) fn only_file(archive: Source) -> Source {
    turned(archive, |archive, content| {
        let mut archive = tar::Archive::new(archive);
        for entry in archive.entries()? {
            let mut entry = entry?;
            if entry.header().entry_type().is_file() {
                let size = entry.size();
                return match io::copy(&mut entry, content)? {
                    copied if copied == size => Ok(()),
                    copied => Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("it ends after {copied} of {size} bytes"),
                    )),
                };
            }
        }
        Err(io::Error::other("there is no file in the archive"))
    })
}

/// A tar archive of one file of `size` bytes, 0600 and root's.
pub(super) fn archive_of(name: &str, size: u64, content: Source) -> io::Result<Source> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_cksum();
    // Content is filled up to whole blocks, and two empty ones are the end.
    let filling = (512 - usize::try_from(size % 512).unwrap_or_default()) % 512 + 1024;
    let first = of(header.as_bytes().to_vec());
    Ok(first.chain(content).chain(of(vec![0; filling])).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(content: &[u8], size: usize) -> Source {
        let chunks: Vec<_> = content
            .chunks(size)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        stream::iter(chunks).boxed()
    }

    fn cut(content: &[u8]) -> Source {
        chunks(content, 1000)
            .chain(stream::iter([Err(io::Error::other("cut"))]))
            .boxed()
    }

    #[tokio::test]
    async fn a_file_goes_into_an_archive_and_comes_out_of_it_the_same() {
        for size in [0, 1, 511, 512, 513, 200_000] {
            let content: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let archive = archive_of("a_backup.tar", size as u64, chunks(&content, 777)).unwrap();
            let archive = collect(archive, 1 << 20).await.unwrap();
            assert_eq!(archive.len() % 512, 0);
            let (out, meter) = Meter::on(only_file(chunks(&archive, 999)));
            assert_eq!(collect(out, 1 << 20).await.unwrap(), content);
            assert_eq!(meter.measure().size, size as u64);
        }
    }

    #[tokio::test]
    async fn what_is_measured_is_sha_256() {
        let (source, meter) = Meter::on(chunks(b"abc", 2));
        drain(source).await.unwrap();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(meter.measure().sha256, sha256);
    }

    #[tokio::test]
    async fn what_is_cut_short_is_never_taken_for_whole() {
        let content = vec![7; 100_000];
        let archive = archive_of("x", 100_000, chunks(&content, 5000)).unwrap();
        let archive = collect(archive, 1 << 20).await.unwrap();
        assert!(drain(only_file(chunks(&archive[..60_000], 1000))).await.is_err());
        assert!(drain(only_file(cut(&archive[..60_000]))).await.is_err());
        let dir = tempfile::tempdir().unwrap();
        let mut program = Command::new("sh");
        program
            .args(["-c", "cat > /dev/null; touch ended"])
            .current_dir(dir.path());
        let error = drain(through(program, cut(&content))).await.unwrap_err();
        assert_eq!(error.to_string(), "cut");
        assert!(
            !dir.path().join("ended").exists(),
            "it was told that this was all"
        );
    }

    #[tokio::test]
    async fn a_program_that_fails_is_an_error_that_says_why() {
        let mut program = Command::new("sh");
        program.args(["-c", "cat; echo no space >&2; exit 3"]);
        let error = drain(through(program, chunks(b"abc", 1)))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.contains("no space"),
            "{error}"
        );
        let missing = Command::new("autogit-no-such-program");
        let error = drain(through(missing, chunks(b"abc", 1)))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("is not installed"), "{error}");
        let upper = Command::new("cat");
        assert_eq!(
            collect(through(upper, chunks(b"abc", 1)), 9).await.unwrap(),
            b"abc"
        );
    }
}
