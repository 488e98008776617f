//! Stills: PNG files of presented pictures, coverage and class masks, written by a thread of their own.

use crate::frame::{FrameLayout, FrameView};
use crate::record::RecordError;
use crate::record::report::part_path;
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
}

/// Writes stills on a thread of its own. `offer` never waits: what finds the queue full is counted.
pub struct StillWriter {
    queue: Option<Sender<(PathBuf, Still)>>,
    thread: Option<JoinHandle<Result<(), RecordError>>>,
    lost: Arc<AtomicU64>,
}

impl StillWriter {
    pub fn start(depth: usize) -> Self {
        let (queue, jobs) = bounded::<(PathBuf, Still)>(depth);
        let thread = std::thread::Builder::new()
            .name("record".into())
            .spawn(move || {
                let mut outcome = Ok(());
                for (path, still) in jobs {
                    let written = match still {
                        Still::Bgrx { data, width, height } => save_bgrx(&path, &data, width * 4, width, height),
                        Still::Grey { data, width, height } => save_grey(&path, &data, width, height),
                        Still::Captured { layout, data, to_bgrx } => save_captured(&path, &layout, &data, to_bgrx),
                        Still::Mask { scene } => {
                            let [width, height] = scene.picture.map(|side| side as usize);
                            save_grey(&path, &super::upsample_mask(&scene.mask, width, height), width, height)
                        }
                    };
                    if outcome.is_ok() {
                        outcome = written;
                    }
                }
                outcome
            })
            .expect("a thread can be started before the run begins");
        StillWriter { queue: Some(queue), thread: Some(thread), lost: Arc::default() }
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

    /// Waits until everything is written. The first failure is returned.
    pub fn finish(mut self) -> Result<u64, RecordError> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome.map(|()| self.lost()),
            _ => Ok(self.lost()),
        }
    }
}
