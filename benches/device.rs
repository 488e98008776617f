//! From a captured frame to the composited picture on one device, in one process; and how many streams at 60 frames a second one device
//! carries. What `hw/gpu-check` runs on a card; on a machine without one, with the processor's engine, it shows that it measures.
//!
//!     cargo bench --bench device -- [--backend cpu|cuda|tensorrt]... [--size 1920x1080]... [--frames N] [--streams N]... [--seconds T]
//!
//! Ways of a frame: `here`, from the ring in host memory, brought to the device for the model and for the picture; `there`, it lies in
//! Vulkan's memory on the device already, where CUDA and the compositor read it. Both begin the device's work as the engine's picture has
//! decided; `there, plain` and `there, recorded` as they say. Rounds of the ways follow each other frame by frame, so that the machine's
//! moods befall all of them.

use anyhow::{Context, bail};
use clap::Parser;
use keyhole::base::clock::{Clock, MonotonicClock};
use keyhole::base::ids::FrameId;
use keyhole::base::stats::{Delays, Summary};
use keyhole::capture::sim::{Simulator, Spec};
use keyhole::frame::cuda::{self, Device, ImportedBuffer, Launches, Payload, Priority};
use keyhole::frame::vulkan::{self, SharedBuffer};
use keyhole::frame::{FrameLayout, FrameView, Stamps};
use keyhole::infer::{self, Backend, Captured};
use keyhole::overlay::draw::DrawList;
use keyhole::overlay::gpu::{Gpu, GpuCompositor, OFFSCREEN_FORMAT, Source, instance};
use keyhole::overlay::paint::Painter;
use keyhole::overlay::style::Style;
use keyhole::overlay::{Layer, Settings};
use keyhole::scene::{Scene, Track};
use keyhole::store::Engines;
use keyhole::track::Analyser;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Instant;

const FRAME_NS: u64 = 16_666_667;
/// Different frames that are shown in turns; each lies ready.
const PICTURES: usize = 32;
/// Before the first that counts.
const WARM_UP: usize = 64;

#[derive(Parser)]
struct Arguments {
    /// Default: cpu.
    #[arg(long)]
    backend: Vec<String>,
    /// Default: 1920x1080 and 3840x2160.
    #[arg(long)]
    size: Vec<String>,
    /// Of each way at each size; 0: streams alone.
    #[arg(long, default_value_t = 10_000)]
    frames: usize,
    /// So many streams at once; default: none is tried.
    #[arg(long)]
    streams: Vec<usize>,
    /// Of each number of streams.
    #[arg(long, default_value_t = 600.0)]
    seconds: f64,
    /// Folder of the engines' folders.
    #[arg(long)]
    engines: Option<PathBuf>,
    #[arg(long, default_value = "target/device.json")]
    out: PathBuf,
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let mut a = Arguments::parse();
    if a.backend.is_empty() {
        a.backend = vec!["cpu".into()];
    }
    if a.size.is_empty() {
        a.size = vec!["1920x1080".into(), "3840x2160".into()];
    }
    let mut found = Vec::new();
    for name in &a.backend {
        let backend: Backend = serde_json::from_value(json!(name)).with_context(|| format!("no backend is called '{name}'"))?;
        for size in a.size.iter().filter(|_| a.frames > 0) {
            found.push(path(&a, backend, size)?);
            write(&a.out, &found)?;
        }
        for &count in &a.streams {
            found.push(streams(&a, backend, count)?);
            write(&a.out, &found)?;
        }
    }
    Ok(())
}

fn write(out: &Path, found: &[Value]) -> anyhow::Result<()> {
    std::fs::create_dir_all(out.parent().context("--out is no file's name")?)?;
    Ok(std::fs::write(out, serde_json::to_vec_pretty(found)?)?)
}

fn analyser(a: &Arguments, backend: Backend) -> anyhow::Result<Analyser> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    let engine = Engines::find(Some(a.engines.as_deref().unwrap_or(&built_in)))?.load_for_any(backend.endings())?;
    Ok(Analyser::load_with(engine, backend, &infer::Settings::default())?)
}

/// Frames of an operation, as they are captured.
struct Pictures {
    layout: FrameLayout,
    bytes: Vec<Vec<u8>>,
}

impl Pictures {
    fn new(size: &str) -> anyhow::Result<Self> {
        let (width, height) = size.split_once('x').with_context(|| format!("'{size}' is no size such as 1920x1080"))?;
        let simulator = Simulator::new(&Spec::parse(&format!("sim:?seed=3&width={width}&height={height}&fps=60&seconds=6"))?)?;
        let bytes = (0..PICTURES).map(|index| {
            let mut bytes = vec![0; simulator.layout().size];
            simulator.render(index, &mut bytes);
            bytes
        });
        Ok(Pictures { layout: *simulator.layout(), bytes: bytes.collect() })
    }

    fn view(&self, index: usize) -> anyhow::Result<FrameView<'_>> {
        FrameView::new(&self.layout, &self.bytes[index % PICTURES]).context("a picture that is too short")
    }
}

fn stamps(index: usize) -> Stamps {
    let capture_ns = 1_000_000_000 + index as u64 * FRAME_NS;
    Stamps { id: FrameId(index as u64), pts_ns: capture_ns, capture_ns }
}

/// The pictures in memory that Vulkan and CUDA share.
struct Slots {
    ring: Vec<SharedBuffer>,
    imported: Vec<ImportedBuffer>,
    _device: Device,
}

impl Slots {
    fn new(gpu: &Gpu, pictures: &Pictures) -> anyhow::Result<Self> {
        let uuid = vulkan::device_uuid(&gpu.adapter).context("Vulkan's device has no UUID")?;
        let device = Device::open(&cuda::device_of(&uuid)?)?;
        let bytes = pictures.layout.size;
        let ring = pictures.bytes.iter().map(|_| SharedBuffer::new(&gpu.device, bytes)).collect::<Result<Vec<_>, _>>()?;
        let imported = ring.iter().map(|slot| device.import(slot)).collect::<Result<Vec<_>, _>>()?;
        let (stream, mut pinned) = (device.stream(Priority::High)?, device.pinned(bytes)?);
        for (picture, slot) in pictures.bytes.iter().zip(&imported) {
            pinned.bytes_mut()?[..bytes].copy_from_slice(picture);
            stream.upload(&mut pinned, bytes, slot.span(), Payload::Pixels)?;
        }
        stream.synchronize()?;
        Ok(Slots { ring, imported, _device: device })
    }
}

/// What draws a scene over its picture.
struct Drawing {
    compositor: GpuCompositor,
    painter: Painter,
    layer: Layer,
    style: Style,
}

impl Drawing {
    fn new(gpu: Gpu, layout: &FrameLayout) -> Self {
        let (width, height) = (layout.width, layout.height);
        let (painter, layer) = (Painter::new(width, height), Layer::new(width, height));
        let style = Style::of(&Settings::default());
        Drawing { compositor: GpuCompositor::new(gpu, OFFSCREEN_FORMAT), painter, layer, style }
    }

    fn draw(&mut self, scene: &Scene, source: Source<'_>) -> anyhow::Result<()> {
        let still: &dyn Fn(&Track) -> [f32; 2] = &|_| [0.0; 2];
        self.painter.paint(&DrawList::from_scene(scene, &self.style, still), &mut self.layer);
        self.compositor.upload(source, &[&self.layer])?;
        Ok(self.compositor.draw_offscreen()?)
    }
}

/// One way of a frame, with an engine of its own.
struct Way {
    name: &'static str,
    analyser: Analyser,
    whole: Delays,
    parts: [Delays; 4],
}

const PARTS: [&str; 4] = ["preprocess", "infer", "decode and track", "overlay and picture"];

impl Way {
    fn new(name: &'static str, analyser: Analyser) -> Self {
        Way { name, analyser, whole: Delays::default(), parts: Default::default() }
    }

    fn go(&mut self, index: usize, pictures: &Pictures, slots: Option<&Slots>, drawing: &mut Drawing) -> anyhow::Result<()> {
        let (view, begun) = (pictures.view(index)?, Instant::now());
        let slot = slots.map(|slots| (&slots.ring[index % PICTURES], &slots.imported[index % PICTURES]));
        let frame = match slot {
            Some((_, imported)) => Captured::There(&pictures.layout, imported.span()),
            None => Captured::Here(view),
        };
        let scene = self.analyser.analyse(frame, stamps(index), &|| true)?.context("nothing overwrites it")?;
        let analysed = begun.elapsed();
        drawing.draw(&scene, slot.map_or(Source::New(&view), |(shared, _)| Source::OnDevice(&pictures.layout, &shared.buffer)))?;
        let whole = begun.elapsed();
        if index >= WARM_UP {
            let times = scene.times;
            let parts = [times.preprocess_ns, times.infer_ns, times.track_ns, (whole - analysed).as_nanos() as u64];
            self.whole.record_ns(whole.as_nanos() as u64);
            self.parts.iter_mut().zip(parts).for_each(|(delays, ns)| delays.record_ns(ns));
        }
        self.analyser.keep(scene);
        Ok(())
    }
}

fn path(a: &Arguments, backend: Backend, size: &str) -> anyhow::Result<Value> {
    let pictures = Pictures::new(size)?;
    let gpu = Gpu::new(&instance(), None)?;
    println!("\n{size}, {} {}: drawn by {}", pictures.layout.format.name(), backend.name(), gpu.name);
    let mut drawing = Drawing::new(gpu.clone(), &pictures.layout);
    let mut ways = vec![(Way::new("here", analyser(a, backend)?), None)];
    let slots = if backend == Backend::Cpu { None } else { Some(Slots::new(&gpu, &pictures)?) };
    if let Some(slots) = &slots {
        for (name, launches) in [("there", None), ("there, plain", Some(Launches::Plain)), ("there, recorded", Some(Launches::Recorded))] {
            let analyser = analyser(a, backend)?;
            launches.map_or(Ok(()), |launches| analyser.set_launches(launches))?;
            ways.push((Way::new(name, analyser), Some(slots)));
        }
    }
    let mut before = Vec::new();
    for index in 0..WARM_UP + a.frames {
        if index == WARM_UP {
            before = ways.iter_mut().map(|(way, _)| way.analyser.device_traffic()).collect();
        }
        for (way, slots) in &mut ways {
            way.go(index, &pictures, *slots, &mut drawing)?;
        }
    }
    let mut said = Vec::new();
    for ((way, _), before) in ways.iter_mut().zip(before) {
        print(way.name, &way.whole.summary());
        let parts = PARTS.iter().zip(&way.parts).map(|(name, delays)| (*name, delays.summary()));
        let parts: Vec<(&str, Summary)> = parts.inspect(|(name, summary)| print(&format!("  {name}"), summary)).collect();
        let moved = way.analyser.device_traffic().zip(before).map(|(now, before)| now.since(&before));
        let a_frame = |bytes: u64| bytes / a.frames as u64;
        let bytes = moved.map(|moved| {
            json!({
                "pixels_to_device": a_frame(moved.to_device.pixels), "numbers_to_device": a_frame(moved.to_device.numbers),
                "pixels_to_host": a_frame(moved.to_host.pixels), "numbers_to_host": a_frame(moved.to_host.numbers),
                "allocations": moved.allocations, "calls_that_begin_kernels": a_frame(moved.begun),
            })
        });
        if let Some(bytes) = &bytes {
            println!("    bytes a frame {bytes}");
        }
        let parts: serde_json::Map<String, Value> = parts.iter().map(|(name, summary)| (name.to_string(), json!(summary))).collect();
        let chosen = way.analyser.launch_times().map(|times| {
            json!({ "chosen": times.chosen.name(), "plain_us": times.plain.as_micros(), "recorded_us": times.recorded.as_micros() })
        });
        said.push(
            json!({ "launches": chosen, "way": way.name, "whole_ms": way.whole.summary(), "parts_ms": parts, "bytes_a_frame": bytes }),
        );
    }
    Ok(json!({ "what": "path", "backend": backend.name(), "size": size, "drawn_by": gpu.name, "ways": said }))
}

fn print(name: &str, summary: &Summary) {
    let Summary { p50, p99, p999, max, count, .. } = summary;
    let p999 = p999.map_or("     –".to_owned(), |ms| format!("{ms:6.3}"));
    println!("  {name:24} p50 {p50:7.3}  p99 {p99:7.3}  p99.9 {p999}  max {max:7.3} ms of {count}");
}

/// So many streams of 1080p, each analysed on a thread and by an engine of its own, at 60 frames a second with phases spread over a
/// frame: what is not done when the stream's next frame comes has missed its deadline.
fn streams(a: &Arguments, backend: Backend, count: usize) -> anyhow::Result<Value> {
    let pictures = Pictures::new("1920x1080")?;
    let analysers = (0..count).map(|_| analyser(a, backend)).collect::<anyhow::Result<Vec<_>>>()?;
    let frames = (a.seconds * 60.0) as usize;
    let barrier = Barrier::new(count);
    let results: Vec<anyhow::Result<(Delays, u64)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = analysers
            .into_iter()
            .enumerate()
            .map(|(stream, analyser)| {
                let (pictures, barrier) = (&pictures, &barrier);
                scope.spawn(move || one_stream(analyser, stream, count, frames, pictures, barrier))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a stream's thread has ended"))).collect()
    });
    let (mut all, mut missed) = (Delays::default(), 0);
    for result in results {
        let (delays, late) = result?;
        all.add(&delays);
        missed += late;
    }
    let summary = all.summary();
    print(&format!("{count} streams, {}", backend.name()), &summary);
    println!("    {missed} deadlines missed in {:.0} s", a.seconds);
    Ok(json!({
        "what": "streams", "backend": backend.name(), "size": "1920x1080", "streams": count, "seconds": a.seconds,
        "deadlines_missed": missed, "analysis_ms": summary,
    }))
}

/// What each frame took from its release on, and how many were late.
fn one_stream(
    mut analyser: Analyser,
    stream: usize,
    count: usize,
    frames: usize,
    pictures: &Pictures,
    barrier: &Barrier,
) -> anyhow::Result<(Delays, u64)> {
    let (clock, mut delays, mut missed) = (MonotonicClock, Delays::default(), 0);
    for index in 0..WARM_UP {
        analyser.analyse(pictures.view(index)?, stamps(index), &|| true)?;
    }
    barrier.wait();
    let first_ns = clock.now_ns() + FRAME_NS + FRAME_NS * stream as u64 / count as u64;
    let mut index = 0;
    while index < frames {
        let release_ns = first_ns + index as u64 * FRAME_NS;
        clock.sleep_until_ns(release_ns);
        let scene = analyser.analyse(pictures.view(index)?, stamps(WARM_UP + index), &|| true)?;
        let took_ns = clock.now_ns().saturating_sub(release_ns);
        delays.record_ns(took_ns);
        scene.into_iter().for_each(|scene| analyser.keep(scene));
        // Late by one frame or more: the newest that is there by now is next, and those before it are missed whole.
        let passed = (took_ns / FRAME_NS) as usize;
        missed += passed.min(frames - index) as u64;
        index += passed.max(1);
    }
    Ok((delays, missed))
}
