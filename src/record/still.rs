//! Stills: PNG files of presented pictures, coverage and class masks, written by a thread of their own.

use crate::base::disk;
use crate::frame::{FrameLayout, FrameView};
use crate::record::report::part_path;
use crate::record::{Mishap, RecordError};
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A BGRX picture (rows of `stride` bytes) as an RGB PNG.
pub fn save_bgrx(path: &Path, data: &[u8], stride: usize, width: usize, height: usize) -> Result<(), RecordError> {
    let mut rgb = Vec::with_capacity(width * height * 3);
    for row in data.chunks(stride).take(height) {
        rgb.extend(row[..width * 4].chunks_exact(4).flat_map(|p| [p[2], p[1], p[0]]));
    }
    save(path, &rgb, width, height, png::ColorType::Rgb)
}

/// One byte a pixel (class ids, coverage) as a grey PNG.
pub fn save_grey(path: &Path, data: &[u8], width: usize, height: usize) -> Result<(), RecordError> {
    save(path, data, width, height, png::ColorType::Grayscale)
}

fn save_captured(path: &Path, layout: &FrameLayout, data: &[u8], to_bgrx: ToBgrx) -> Result<(), RecordError> {
    let (width, height) = (layout.width, layout.height);
    let view =
        FrameView::new(layout, data).ok_or_else(|| RecordError::write(path, std::io::Error::from(std::io::ErrorKind::InvalidData)))?;
    let mut bgrx = vec![0; width * height * 4];
    to_bgrx(&view, &mut bgrx);
    save_bgrx(path, &bgrx, width * 4, width, height)
}

fn save(path: &Path, data: &[u8], width: usize, height: usize, colour: png::ColorType) -> Result<(), RecordError> {
    let part = part_path(path);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        crate::record::make_folder(folder)?;
    }
    let write = || -> Result<(), std::io::Error> {
        disk::pass()?;
        let file = BufWriter::new(std::fs::File::create(&part)?);
        let mut encoder = png::Encoder::new(file, width as u32, height as u32);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(data)?;
        writer.finish()?;
        std::fs::rename(&part, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&part);
        RecordError::write(path, e)
    })
}

/// Writes a captured picture as BGRX, rows without padding. Given by whoever knows how.
pub type ToBgrx = fn(&FrameView<'_>, &mut [u8]);

/// What a still is made of.
pub enum Still {
    Bgrx {
        data: Vec<u8>,
        width: usize,
        height: usize,
    },
    Grey {
        data: Vec<u8>,
        width: usize,
        height: usize,
    },
    /// A captured frame's bytes; converted by the writer.
    Captured {
        layout: FrameLayout,
        data: Vec<u8>,
        to_bgrx: ToBgrx,
    },
    /// A scene's class ids, brought to the picture's size by the writer.
    Mask {
        scene: Arc<crate::scene::Scene>,
    },
    /// Of a name that its date makes: where something has it already, it gets another.
    Named(Box<Still>),
}

/// Writes stills on a thread of its own. `offer` never waits: what finds the queue full is counted, as is what cannot be written;
/// each one is tried, so that stills go on when the disk does.
pub struct StillWriter {
    queue: Option<Sender<(PathBuf, Still)>>,
    thread: Option<JoinHandle<Option<Failed>>>,
    lost: Arc<AtomicU64>,
    mishap: Arc<Mishap>,
}

/// The first that could not be written, and how many.
struct Failed {
    path: PathBuf,
    source: std::io::Error,
    count: u64,
}

impl StillWriter {
    pub fn start(depth: usize) -> Self {
        let (queue, jobs) = bounded::<(PathBuf, Still)>(depth);
        let mishap = Arc::new(Mishap::default());
        let noted = mishap.clone();
        let thread = std::thread::Builder::new()
            .name("record".into())
            .spawn(move || {
                let mut failed: Option<Failed> = None;
                for (path, still) in jobs {
                    match write(&path, still) {
                        Ok(()) => noted.passes(),
                        Err(source) => {
                            noted.fails(format!("'{}' cannot be written ({source})", path.display()));
                            failed.get_or_insert(Failed { path, source, count: 0 }).count += 1;
                        }
                    }
                }
                noted.passes();
                failed
            })
            .expect("a thread can be started before the run begins");
        StillWriter { queue: Some(queue), thread: Some(thread), lost: Arc::default(), mishap }
    }

    /// Whether stills cannot be written now.
    pub fn mishap(&self) -> Arc<Mishap> {
        self.mishap.clone()
    }

    pub fn offer(&self, path: PathBuf, still: Still) {
        if let Some(queue) = &self.queue
            && let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send((path, still))
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As `offer`, but waits for room: for runs that the recorder pulls.
    pub fn put(&self, path: PathBuf, still: Still) {
        if let Some(queue) = &self.queue {
            let _ = queue.send((path, still));
        }
    }

    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until everything is written. How many are missing, and the first of those that could not be written.
    pub fn finish(mut self) -> (u64, Result<(), RecordError>) {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(Some(Failed { path, source, count }))) => {
                let outcome = Err(RecordError::Incomplete { path, what: "stills", missing: count, source });
                (self.lost() + count, outcome)
            }
            _ => (self.lost(), Ok(())),
        }
    }
}

fn write(path: &Path, still: Still) -> std::io::Result<()> {
    let written = match still {
        Still::Bgrx { data, width, height } => save_bgrx(path, &data, width * 4, width, height),
        Still::Grey { data, width, height } => save_grey(path, &data, width, height),
        Still::Captured { layout, data, to_bgrx } => save_captured(path, &layout, &data, to_bgrx),
        Still::Mask { scene } => {
            let [width, height] = scene.picture.map(|side| side as usize);
            save_grey(path, &super::upsample_mask(&scene.mask, width, height), width, height)
        }
        Still::Named(still) => return write(&free_path(path), *still),
    };
    written.map_err(|error| match error {
        RecordError::Write { source, .. } => source,
        other => std::io::Error::other(other),
    })
}

/// The name, or where something has it already, the next that nothing has: a wall clock that was set back gives a date again.
fn free_path(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let names = (2..10_000).map(|n| path.with_file_name(format!("{stem}_{n}.png")));
    std::iter::once(path.to_owned()).chain(names).find(|name| !name.exists()).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(level: u8) -> Still {
        Still::Grey { data: vec![level; 4], width: 2, height: 2 }
    }

    #[test]
    fn a_still_that_bears_a_date_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("still-1-overlay.png");
        let stills = StillWriter::start(4);
        (1..4).for_each(|level| stills.put(path.clone(), Still::Named(Box::new(grey(level)))));
        assert!(stills.finish().1.is_ok());
        for name in ["still-1-overlay.png", "still-1-overlay_2.png", "still-1-overlay_3.png"] {
            assert!(folder.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_named_and_the_next_one_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let (bad, good) = (folder.path().join("taken"), folder.path().join("b.png"));
        std::fs::create_dir(&bad).unwrap();
        let stills = StillWriter::start(4);
        for path in [&bad, &good, &bad] {
            stills.put(path.clone(), grey(7));
        }
        let (lost, outcome) = stills.finish();
        let error = outcome.unwrap_err();
        assert!(lost == 2 && good.exists() && error.to_string().contains("taken") && error.to_string().contains("2 stills"), "{error}");
        assert_eq!(error.kind(), crate::base::error::ErrorKind::Degrade);
    }
}
