//! The wgpu compositor (Vulkan): one fragment pass, `shaders/compose.wgsl`, over the frame's planes in a storage buffer
//! and the layers in integer textures. Bit-exact with the host compositor by construction: the same integers.
//! Planes that lie on the device already (`frame::vulkan`) are sampled where they are: nothing is copied.
//! Windows and surfaces live in `display`; this draws into whatever view it is given, or into a picture of its own.

#[cfg(test)]
use crate::base::error::ErrorKind;
use crate::frame::{self, Colorimetry, FrameLayout, FrameView, PixelFormat, Tone};
use crate::overlay::convert::Coefficients;
use crate::overlay::placement::Placement;
use crate::overlay::{Depth, Layer, OverlayError, Rect, compose_pass};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Layers that can be laid over a picture: the overlay, the status display, and the border code.
pub const LAYERS: usize = 3;
/// How long a submission may take before the device counts as hung: another way has to show the picture within half a second.
const DEVICE_WAIT: Duration = Duration::from_millis(300);
/// A processor that plays a device is as slow as it is busy.
const SOFTWARE_WAIT: Duration = Duration::from_secs(2);
/// Layers are uploaded in bands of this many rows, each as wide as what changed in it.
const BAND_ROWS: usize = 64;

/// An opened Vulkan device.
#[derive(Debug, Clone)]
pub struct Gpu {
    pub adapter: wgpu::Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Name and driver, for people.
    pub name: String,
    /// A CPU pretending to be a GPU (lavapipe): good for tests, too slow to shade pictures.
    pub is_software: bool,
    fault: Arc<Mutex<Option<String>>>,
}

/// A Vulkan instance; the loader finds the drivers.
pub fn instance() -> wgpu::Instance {
    let descriptor =
        wgpu::InstanceDescriptor { backends: wgpu::Backends::VULKAN, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    wgpu::Instance::new(descriptor)
}

impl Gpu {
    /// The best Vulkan device that can present to `surface`, if one is given.
    pub fn new(instance: &wgpu::Instance, surface: Option<&wgpu::Surface<'_>>) -> Result<Self, OverlayError> {
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            compatible_surface: surface,
            ..Default::default()
        };
        let adapter =
            pollster::block_on(instance.request_adapter(&options)).map_err(|e| OverlayError::NoVulkan { reason: e.to_string() })?;
        Self::of(adapter)
    }

    /// This device, opened.
    pub fn of(adapter: wgpu::Adapter) -> Result<Self, OverlayError> {
        let info = adapter.get_info();
        let name = if info.driver.is_empty() { info.name.clone() } else { format!("{} ({})", info.name, info.driver) };
        // Not required: where it is not offered, pictures are copied to the device.
        let required_features = adapter.features() & frame::vulkan::FEATURE;
        let required_limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor { label: Some("keyhole"), required_features, required_limits, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|e| OverlayError::Device { adapter: name.clone(), reason: e.to_string() })?;
        let fault = Arc::new(Mutex::new(None));
        // Without these, wgpu ends the process on an error of the device.
        let noted = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&noted, error.to_string())));
        let noted = fault.clone();
        // Also called when it is dropped, and then nobody reads it.
        device.set_device_lost_callback(move |reason, text| note(&noted, format!("device lost ({reason:?}) {text}")));
        Ok(Gpu { adapter, device, queue, name, is_software: info.device_type == wgpu::DeviceType::Cpu, fault })
    }

    /// Who does not answer for so long hangs.
    fn patience(&self) -> Duration {
        if self.is_software { SOFTWARE_WAIT } else { DEVICE_WAIT }
    }

    /// Waits until all that was submitted is done; an error if anything failed since the last call.
    pub fn finish(&self) -> Result<(), OverlayError> {
        let polled = frame::vulkan::settle(&self.device, self.patience());
        let fault = self.fault.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        match fault.map_or(polled, Err) {
            Ok(()) => Ok(()),
            Err(reason) => Err(OverlayError::Device { adapter: self.name.clone(), reason }),
        }
    }
}

fn note(fault: &Mutex<Option<String>>, text: String) {
    // The first error is the cause, later ones follow from it.
    fault.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(text);
}

/// What a picture of one size needs on the device.
#[derive(Debug)]
struct Resources {
    size: (usize, usize),
    frame_bytes: usize,
    frame: wgpu::Buffer,
    layers: [LayerTexture; LAYERS],
    views: [wgpu::TextureView; LAYERS],
    /// With our own `frame`.
    own: wgpu::BindGroup,
    /// With buffers that others fill, made when each was first seen.
    others: Vec<(wgpu::Buffer, wgpu::BindGroup)>,
    drawn: Drawn,
}

/// What the device holds: planes of this layout (None: black) and so many layers.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    layout: Option<FrameLayout>,
    layers: usize,
    /// Which of the others' buffers holds the planes; None: our own.
    other: Option<usize>,
}

/// Buffers of others that are remembered: a ring's.
const MOST_OTHERS: usize = 16;

#[derive(Debug)]
struct LayerTexture {
    texture: wgpu::Texture,
    /// What was uploaded last and has to be replaced.
    rects: Vec<Rect>,
}

/// The tables of the last picture that needed some.
#[derive(Debug)]
struct ToneBuffer {
    buffer: wgpu::Buffer,
    holds: Option<Colorimetry>,
}

/// A target of our own, with the buffer through which it is read back.
#[derive(Debug)]
struct Offscreen {
    size: (usize, usize),
    texture: wgpu::Texture,
    view: wgpu::TextureView,
    buffer: wgpu::Buffer,
    padded_row: usize,
}

/// The compose pass with everything that it keeps between frames.
#[derive(Debug)]
pub struct GpuCompositor {
    gpu: Gpu,
    pipeline: wgpu::RenderPipeline,
    /// For targets of ten bits; None until the first.
    deep: Option<wgpu::RenderPipeline>,
    shader: wgpu::ShaderModule,
    bind_layout: wgpu::BindGroupLayout,
    params: wgpu::Buffer,
    tone: ToneBuffer,
    format: wgpu::TextureFormat,
    resources: Option<Resources>,
    offscreen: Option<Offscreen>,
}

/// What to compose.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    New(&'a FrameView<'a>),
    /// The planes are on the device already; only layers are uploaded.
    Again(&'a FrameLayout),
    /// They lie in a storage buffer of this device, as the layout says, and stay until the picture was drawn.
    OnDevice(&'a FrameLayout, &'a wgpu::Buffer),
    Blank(usize, usize),
}

impl Source<'_> {
    fn layout(&self) -> Option<&FrameLayout> {
        match self {
            Source::New(view) => Some(view.layout),
            Source::Again(layout) | Source::OnDevice(layout, _) => Some(layout),
            Source::Blank(..) => None,
        }
    }

    pub fn size(&self) -> (usize, usize) {
        match *self {
            Source::Blank(width, height) => (width, height),
            Source::New(view) => (view.layout.width, view.layout.height),
            Source::Again(layout) | Source::OnDevice(layout, _) => (layout.width, layout.height),
        }
    }
}

pub const OFFSCREEN_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Bgra8Unorm;
/// Of targets with ten bits.
pub const TEN_BIT_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgb10a2Unorm;
const PARAMS_WORDS: usize = 20;

impl GpuCompositor {
    /// `format`: of the 8-bit targets that it will draw to; one without sRGB encoding.
    pub fn new(gpu: Gpu, format: wgpu::TextureFormat) -> Self {
        let device = &gpu.device;
        let shader = compose_pass::shader(device);
        let bind_layout = compose_pass::bind_layout(device);
        let pipeline = compose_pass::pipeline(device, &shader, &bind_layout, format, Depth::Eight);
        let params = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("compose params"),
            size: 4 * PARAMS_WORDS as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let tone = ToneBuffer::new(device);
        GpuCompositor { gpu, pipeline, deep: None, shader, bind_layout, params, tone, format, resources: None, offscreen: None }
    }

    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Brings the picture and its layers to the device.
    pub fn upload(&mut self, source: Source<'_>, layers: &[&Layer]) -> Result<(), OverlayError> {
        let size = source.size();
        if layers.len() > LAYERS {
            return Err(OverlayError::TooManyLayers { count: layers.len(), most: LAYERS });
        }
        if let Some(layer) = layers.iter().find(|layer| (layer.width, layer.height) != size) {
            return Err(OverlayError::Size { got_width: layer.width, got_height: layer.height, width: size.0, height: size.1 });
        }
        let mut resources = self.prepare(&source)?;
        for (texture, layer) in resources.layers.iter_mut().zip(layers) {
            texture.upload(&self.gpu.queue, layer);
        }
        if let Some(layout) = source.layout() {
            self.tone.upload(&self.gpu.queue, layout);
        }
        if let Source::New(view) = source {
            for (index, plane) in view.layout.planes().iter().enumerate() {
                self.gpu.queue.write_buffer(&resources.frame, plane.offset as u64, view.plane(index));
            }
        }
        let other = match source {
            Source::OnDevice(_, buffer) => Some(self.bound(&mut resources, buffer)),
            // What is black now may be shown again.
            Source::Again(_) | Source::Blank(..) => resources.drawn.other,
            Source::New(_) => None,
        };
        resources.drawn = Drawn { layout: source.layout().copied(), layers: layers.len(), other };
        self.resources = Some(resources);
        Ok(())
    }

    /// Draws what was uploaded last into `target`, a view of `target_size` pixels, and submits it. `depth`: of the target; ten
    /// bits: `TEN_BIT_FORMAT`.
    pub fn draw(&mut self, depth: Depth, target: &wgpu::TextureView, target_size: (usize, usize)) -> Result<(), OverlayError> {
        let Some(resources) = &self.resources else { return Err(OverlayError::NothingUploaded) };
        let params = params(resources, Placement::fit(resources.size, target_size), depth);
        let pipeline = match depth {
            Depth::Eight => &self.pipeline,
            Depth::Ten => self.deep.get_or_insert_with(|| {
                compose_pass::pipeline(&self.gpu.device, &self.shader, &self.bind_layout, TEN_BIT_FORMAT, Depth::Ten)
            }),
        };
        self.gpu.queue.write_buffer(&self.params, 0, bytemuck::cast_slice(&params));
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("compose"),
                color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                    view: target,
                    depth_slice: None,
                    resolve_target: None,
                    ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
                })],
                ..Default::default()
            });
            pass.set_pipeline(pipeline);
            let bind_group = resources.drawn.other.map_or(&resources.own, |index| &resources.others[index].1);
            pass.set_bind_group(0, bind_group, &[]);
            pass.draw(0..3, 0..1);
        }
        self.gpu.queue.submit([encoder.finish()]);
        Ok(())
    }

    /// Draws what was uploaded last into a picture of our own, pixel for pixel, and waits for it.
    pub fn draw_offscreen(&mut self) -> Result<(), OverlayError> {
        let size = self.resources.as_ref().ok_or(OverlayError::NothingUploaded)?.size;
        let offscreen = match self.offscreen.take() {
            Some(offscreen) if offscreen.size == size => offscreen,
            _ => Offscreen::new(&self.gpu.device, size, self.format),
        };
        let drawn = self.draw(Depth::Eight, &offscreen.view, size);
        self.offscreen = Some(offscreen);
        drawn?;
        self.gpu.finish()
    }

    /// Reads back what `draw_offscreen` drew last: BGRX, rows of 4 × width bytes. Width and height are returned.
    pub fn read_back(&self, into: &mut Vec<u8>) -> Result<(usize, usize), OverlayError> {
        let fail = |reason: String| OverlayError::ReadBack { reason };
        let offscreen = self.offscreen.as_ref().ok_or_else(|| fail("nothing was drawn yet".into()))?;
        let (width, height) = offscreen.size;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(offscreen.padded_row as u32), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &offscreen.buffer, layout };
        encoder.copy_texture_to_buffer(offscreen.texture.as_image_copy(), to, offscreen.texture.size());
        self.gpu.queue.submit([encoder.finish()]);
        let (sender, mapped) = std::sync::mpsc::sync_channel(1);
        let slice = offscreen.buffer.slice(..);
        slice.map_async(wgpu::MapMode::Read, move |result| drop(sender.send(result)));
        self.gpu.finish()?;
        match mapped.try_recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(fail(error.to_string())),
            Err(_) => return Err(fail("the device did not answer in time".into())),
        }
        into.clear();
        {
            let bytes = slice.get_mapped_range().map_err(|error| fail(error.to_string()))?;
            bytes.chunks_exact(offscreen.padded_row).take(height).for_each(|row| into.extend_from_slice(&row[..4 * width]));
        }
        if self.format == wgpu::TextureFormat::Rgba8Unorm {
            into.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
        }
        offscreen.buffer.unmap();
        Ok((width, height))
    }

    /// Hands out the resources for this picture, made anew if its size has changed; `upload` puts them back.
    fn prepare(&mut self, source: &Source<'_>) -> Result<Resources, OverlayError> {
        let (size, frame_bytes) = (source.size(), source.layout().map_or(4, |layout| layout.size));
        if let Source::OnDevice(_, buffer) = source
            && buffer.size() < frame_bytes as u64
        {
            return Err(OverlayError::ShortBuffer { got: buffer.size(), needed: frame_bytes });
        }
        // A blank picture is drawn with whatever planes are there.
        let fits = |r: &Resources| r.size == size && (r.frame_bytes == frame_bytes || source.layout().is_none());
        match self.resources.take() {
            Some(resources) if fits(&resources) => return Ok(resources),
            _ if matches!(source, Source::Again(_)) => return Err(OverlayError::NothingUploaded),
            _ => {}
        }
        let limits = self.gpu.device.limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        if frame_bytes as u64 > limit || size.0.max(size.1) > limits.max_texture_dimension_2d as usize {
            let (adapter, side_limit) = (self.gpu.name.clone(), limits.max_texture_dimension_2d);
            return Err(OverlayError::TooLarge { adapter, width: size.0, height: size.1, limit, side_limit });
        }
        let device = &self.gpu.device;
        let frame = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("frame"),
            size: frame_bytes as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        // New textures are zero: transparent.
        let layers = std::array::from_fn(|_| LayerTexture {
            texture: device.create_texture(&wgpu::TextureDescriptor {
                label: Some("layer"),
                size: extent(size),
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba8Uint,
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            }),
            rects: Vec::with_capacity(256),
        });
        let views: [wgpu::TextureView; LAYERS] = std::array::from_fn(|i: usize| {
            let layers: &[LayerTexture; LAYERS] = &layers;
            layers[i].texture.create_view(&Default::default())
        });
        let own = self.bind_group(&frame, &views);
        let drawn = Drawn { layout: None, layers: 0, other: None };
        Ok(Resources { size, frame_bytes, frame, layers, views, own, others: Vec::with_capacity(MOST_OTHERS), drawn })
    }

    /// The place of `buffer` among the others.
    fn bound(&self, resources: &mut Resources, buffer: &wgpu::Buffer) -> usize {
        if let Some(index) = resources.others.iter().position(|(known, _)| known == buffer) {
            return index;
        }
        if resources.others.len() == MOST_OTHERS {
            resources.others.clear();
        }
        let bind_group = self.bind_group(buffer, &resources.views);
        resources.others.push((buffer.clone(), bind_group));
        resources.others.len() - 1
    }

    fn bind_group(&self, frame: &wgpu::Buffer, views: &[wgpu::TextureView; LAYERS]) -> wgpu::BindGroup {
        self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("compose"),
            layout: &self.bind_layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.params.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: frame.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::TextureView(&views[0]) },
                wgpu::BindGroupEntry { binding: 3, resource: wgpu::BindingResource::TextureView(&views[1]) },
                wgpu::BindGroupEntry { binding: 4, resource: self.tone.buffer.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 5, resource: wgpu::BindingResource::TextureView(&views[2]) },
            ],
        })
    }
}

impl ToneBuffer {
    /// As in the shader: light of each code, shown bytes of each light, the gamut's matrix.
    const WORDS: usize = Tone::CODES + Tone::LIGHTS / 4 + 9;

    fn new(device: &wgpu::Device) -> Self {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("tone"),
            size: 4 * Self::WORDS as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        ToneBuffer { buffer, holds: None }
    }

    fn upload(&mut self, queue: &wgpu::Queue, layout: &FrameLayout) {
        if self.holds == Some(layout.colorimetry) {
            return;
        }
        let Some(tone) = Tone::of(layout) else { return };
        let mut at = 0;
        let gamut = tone.gamut.as_flattened();
        for part in [bytemuck::cast_slice(&tone.to_linear[..]), &tone.to_display[..Tone::LIGHTS], bytemuck::cast_slice(gamut)] {
            queue.write_buffer(&self.buffer, at, part);
            at += part.len() as u64;
        }
        self.holds = Some(layout.colorimetry);
    }
}

impl LayerTexture {
    /// Replaces what was there by what `layer` holds now.
    fn upload(&mut self, queue: &wgpu::Queue, layer: &Layer) {
        for y0 in (0..layer.height).step_by(BAND_ROWS) {
            let band = Rect { x0: 0, y0, x1: layer.width, y1: (y0 + BAND_ROWS).min(layer.height) };
            let changed =
                self.rects.iter().chain(&layer.rects).map(|rect| rect.intersection(&band)).fold(Rect::EMPTY, |all, rect| all.union(&rect));
            if changed.is_empty() {
                continue;
            }
            let origin = wgpu::Origin3d { x: changed.x0 as u32, y: changed.y0 as u32, z: 0 };
            let to = wgpu::TexelCopyTextureInfo { origin, ..self.texture.as_image_copy() };
            let offset = 4 * (changed.y0 * layer.width + changed.x0) as u64;
            let layout = wgpu::TexelCopyBufferLayout { offset, bytes_per_row: Some(4 * layer.width as u32), rows_per_image: None };
            queue.write_texture(to, &layer.data, layout, extent((changed.width(), changed.height())));
        }
        self.rects.clone_from(&layer.rects);
    }
}

impl Offscreen {
    fn new(device: &wgpu::Device, size: (usize, usize), format: wgpu::TextureFormat) -> Self {
        let texture = device.create_texture(&wgpu::TextureDescriptor {
            label: Some("offscreen"),
            size: extent(size),
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        let padded_row = (4 * size.0).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("read back"),
            size: (padded_row * size.1) as u64,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        Offscreen { size, view: texture.create_view(&Default::default()), texture, buffer, padded_row }
    }
}

fn extent(size: (usize, usize)) -> wgpu::Extent3d {
    wgpu::Extent3d { width: size.0 as u32, height: size.1 as u32, depth_or_array_layers: 1 }
}

/// As `Params` in the shader.
fn params(resources: &Resources, placement: Placement, depth: Depth) -> [u32; PARAMS_WORDS] {
    let ((width, height), drawn) = (resources.size, resources.drawn);
    let mut words = [0; PARAMS_WORDS];
    words[..4].copy_from_slice(&[width as u32, height as u32, 0, drawn.layers as u32]);
    if let Some(layout) = drawn.layout {
        words[2] = match layout.format {
            PixelFormat::Nv12 => 1,
            PixelFormat::I420 => 2,
            PixelFormat::Rgb => 3,
            PixelFormat::Yuy2 => 4,
            PixelFormat::Uyvy => 5,
            PixelFormat::V210 => 6,
            PixelFormat::P010 => 7,
            PixelFormat::Bgrx | PixelFormat::Bgra => 8,
        };
        for (i, plane) in layout.planes().iter().enumerate() {
            words[4 + i] = plane.stride as u32;
            if i > 0 {
                words[6 + i] = plane.offset as u32;
            }
        }
        let coefficients = match Tone::of(&layout).map(|tone| tone.matrix) {
            None => {
                let keeps_ten = depth == Depth::Ten && layout.format.is_ten_bit();
                let of = if keeps_ten { Coefficients::of_ten_bits } else { Coefficients::of };
                let k = of(layout.colorimetry);
                [k.y_offset, k.cy, k.rv, k.gu, k.gv, k.bu, 0]
            }
            Some(m) => [m.y_offset, m.cy, m.rv, m.gu, m.gv, m.bu, 1],
        };
        words[9..16].copy_from_slice(&coefficients.map(|v| v as u32));
    }
    let Rect { x0, y0, .. } = placement.rect;
    words[16..].copy_from_slice(&[x0, y0, placement.rect.width(), placement.rect.height()].map(|v| v as u32));
    words
}

/// A Vulkan device for a test, or None where there is none; then it says so by the test's name.
#[cfg(test)]
pub(crate) fn test_gpu(test: &str) -> Option<Gpu> {
    match Gpu::new(&instance(), None) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Degrade);
            println!("SKIPPED {test}: {error}");
            None
        }
    }
}

#[cfg(test)]
#[path = "gpu_tests.rs"]
mod tests;
