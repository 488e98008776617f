//! Every pixel format from GStreamer's own elements to the screen: rows as GStreamer lays them out, colours as it shows them.

use crate::allocations::during;
use crate::support::{Run, keyhole};
use keyhole::base::clock::MonotonicClock;
use keyhole::capture::{Pull, Settings, open};
use keyhole::frame::{Colorimetry, FrameLayout, FrameView, Matrix, PixelFormat, Range, Transfer};
use keyhole::infer::{ColourOrder, InputSpec, Normaliser, Preprocess, Resize, TensorLayout, input_hash};
use keyhole::overlay::Rect;
use keyhole::overlay::convert::convert;
use keyhole::overlay::motion::Thumb;
use keyhole::store::{Normalisation, Spread};
use std::sync::Arc;
use std::time::Duration;

/// A picture copied out of its source, in our layout.
struct Seen {
    layout: FrameLayout,
    data: Vec<u8>,
}

impl Seen {
    fn of(description: &str) -> Seen {
        Seen::from(&format!("gst:{description}"))
    }

    fn from(uri: &str) -> Seen {
        let mut source = open(uri, &Settings::default(), Arc::new(MonotonicClock)).unwrap_or_else(|error| panic!("{uri}: {error}"));
        for _ in 0..100 {
            if let Pull::Picture(picture) = source.pull(Duration::from_millis(50)).unwrap() {
                let mut data = vec![0; picture.layout.size];
                picture.copy_into(&mut data);
                return Seen { layout: picture.layout, data };
            }
        }
        panic!("{uri}: no picture within 5 s");
    }

    fn view(&self) -> FrameView<'_> {
        FrameView::new(&self.layout, &self.data).unwrap()
    }

    /// As the host compositor shows it.
    fn shown(&self) -> Seen {
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Full);
        let layout = FrameLayout::new(PixelFormat::Bgrx, colorimetry, self.layout.width, self.layout.height).unwrap();
        let mut data = vec![0; layout.size];
        convert(&self.view(), Rect::whole(layout.width, layout.height), &mut data, layout.planes()[0].stride);
        Seen { layout, data }
    }

    /// R, G, B of a BGRX picture.
    fn rgb(&self, x: usize, y: usize) -> [u8; 3] {
        let pixel = &self.view().row(0, y)[4 * x..];
        [pixel[2], pixel[1], pixel[0]]
    }
}

/// How many of the pixels' channels differ by how many levels.
fn differences(a: &Seen, b: &Seen) -> Vec<usize> {
    let mut counts = vec![0; 256];
    for y in 0..a.layout.height {
        // An odd row's last pixel has in GStreamer's YUY2 and UYVY a V that nobody wrote; its conversion mixes it into the one before.
        for x in 0..a.layout.width - a.layout.width % 2 * 2 {
            (0..3).for_each(|c| counts[usize::from(a.rgb(x, y)[c].abs_diff(b.rgb(x, y)[c]))] += 1);
        }
    }
    counts
}

/// A pattern in R'G'B', to be converted: painting 10-bit formats itself, GStreamer's source makes greys a little green.
fn rgb(pattern: &str, width: usize, height: usize) -> String {
    format!(
        "videotestsrc pattern={pattern} ! video/x-raw,format=RGB,width={width},height={height},framerate=30/1 ! videoconvert dither=none"
    )
}

/// A smooth picture of many colours without edges, all inside BT.709 when taken as BT.2020.
struct Smooth {
    file: tempfile::NamedTempFile,
    width: usize,
    height: usize,
}

impl Smooth {
    fn new(width: usize, height: usize) -> Smooth {
        let mut bytes = Vec::new();
        for y in 0..height {
            let (right, down) = (6.3 / width as f64, 6.3 / height as f64);
            for x in 0..width {
                let [x, y] = [x as f64 * right, y as f64 * down];
                let rgb = [150.0 + 30.0 * (x + 0.5 * y).sin(), 140.0 + 30.0 * (y + 1.0).cos(), 130.0 + 30.0 * (1.3 * x - y).sin()];
                bytes.extend(rgb.map(|v| v as u8));
            }
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Smooth { file, width, height }
    }

    /// Elements that deliver it.
    fn source(&self) -> String {
        let Smooth { file, width, height } = self;
        format!(
            "filesrc location={} ! rawvideoparse format=rgb width={width} height={height} framerate=30/1 ! videoconvert dither=none",
            file.path().display()
        )
    }
}

const COLORIMETRIES: [(&str, Matrix, Range); 4] = [
    ("2:4:16:4", Matrix::Bt601, Range::Limited),
    ("bt709", Matrix::Bt709, Range::Limited),
    ("1:4:16:4", Matrix::Bt601, Range::Full),
    ("1:3:5:1", Matrix::Bt709, Range::Full),
];

/// Every format, matrix and range at odd and even sizes: our picture against GStreamer's conversion of the same buffers.
#[test]
fn every_format_is_shown_as_gstreamer_shows_it() {
    for format in PixelFormat::ALL {
        let colours = if format.is_rgb() { &COLORIMETRIES[1..2] } else { &COLORIMETRIES[..] };
        for &(said, matrix, range) in colours {
            for (width, height) in [(640, 360), (1003, 541)] {
                let colorimetry = if format.is_rgb() { String::new() } else { format!(",colorimetry=(string){said}") };
                let caps = format!("video/x-raw,format={}{colorimetry}", format.name());
                let flat = format!("videotestsrc pattern=solid-color foreground-color=0xffc85a32 ! {caps},width={width},height={height}");
                let smooth = Smooth::new(width, height);
                for (source, most, allowed) in [(flat, 2, 0.0), (format!("{} ! {caps}", smooth.source()), 2, 0.02)] {
                    let ours = Seen::of(&source);
                    assert_eq!((ours.layout.format, ours.layout.width, ours.layout.height), (format, width, height), "{source}");
                    if !format.is_rgb() {
                        assert_eq!(ours.layout.colorimetry, Colorimetry::sdr(matrix, range), "{source}");
                    }
                    // Through 16 bits: GStreamer's direct way from 8-bit Y'CbCr to 8-bit R'G'B' is up to 4 levels too dark.
                    let theirs = Seen::of(&format!(
                        "{source} ! videoconvert dither=none ! video/x-raw,format=ARGB64 ! videoconvert dither=none ! video/x-raw,format=BGRx"
                    ));
                    assert_eq!(theirs.layout.format, PixelFormat::Bgrx);
                    // Chroma is replicated here and interpolated there.
                    let counts = differences(&ours.shown(), &theirs);
                    let beyond: usize = counts[most + 1..].iter().sum();
                    assert!(beyond as f64 <= allowed * (3 * width * height) as f64, "{source}: {:?}", &counts[..12]);
                    assert_eq!(counts[5..].iter().sum::<usize>(), 0, "{source}: {:?}", &counts[..40]);
                }
            }
        }
    }
}

/// BT.2020 in SDR, made by GStreamer from BT.709 colours, comes back as those colours.
#[test]
fn wide_gamut_pictures_come_back_as_the_colours_they_were() {
    for rgb in [0x00b4_4632_u32, 0x00e6_be78, 0x0050_8c5a, 0x0046_5aa0] {
        let source = format!(
            "videotestsrc pattern=solid-color foreground-color={:#x} ! video/x-raw,format=BGRx,width=320,height=180,colorimetry=1:1:5:1 ! videoconvert dither=none gamma-mode=remap primaries-mode=fast ! video/x-raw,format=P010_10LE,colorimetry=bt2020-10",
            rgb | 0xff00_0000
        );
        let seen = Seen::of(&source);
        assert_eq!(seen.layout.colorimetry, Colorimetry::sdr(Matrix::Bt2020, Range::Limited));
        let [_, r, g, b] = rgb.to_be_bytes();
        let shown = seen.shown().rgb(160, 90);
        let off = shown.iter().zip([r, g, b]).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        // GStreamer goes through the camera's curve, we through the display's: near each other, not the same.
        assert!(off <= 8, "{r} {g} {b} became {shown:?}");
    }
}

#[test]
fn high_dynamic_range_says_so_and_is_brought_to_the_screen() {
    for (said, transfer) in [("bt2100-pq", Transfer::Pq), ("bt2100-hlg", Transfer::Hlg)] {
        for format in ["P010_10LE", "v210"] {
            let seen = Seen::of(&format!("{} ! video/x-raw,format={format},colorimetry=(string){said}", rgb("gradient", 320, 180)));
            assert_eq!(seen.layout.colorimetry, Colorimetry { matrix: Matrix::Bt2020, range: Range::Limited, transfer });
            let shown = seen.shown();
            let column: Vec<[u8; 3]> = (0..180).map(|y| shown.rgb(160, y)).collect();
            assert!(column.iter().all(|[r, g, b]| r.abs_diff(*g) <= 1 && g.abs_diff(*b) <= 1), "{said} {format}: {column:?}");
            let grey: Vec<u8> = column.iter().map(|rgb| rgb[1]).collect();
            let (low, high) = (*grey.iter().min().unwrap(), *grey.iter().max().unwrap());
            assert!(low < 12 && high > 240 && (grey.is_sorted() || grey.iter().rev().is_sorted()), "{said} {format}: {grey:?}");
        }
    }
}

/// Colours are told by the stream and its container, as a recorder writes them, not by caps: ten bits in H.265 and VP9.
#[test]
fn high_dynamic_range_and_wide_gamut_come_through_real_containers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tagged");
    let make = |source: &str, said: &str, through: &str| {
        let pipeline = format!(
            "{source} ! video/x-raw,format=I420_10LE,colorimetry=(string){said} ! {through} ! filesink location={}",
            path.display()
        );
        let made = std::process::Command::new("gst-launch-1.0").arg("-q").args(pipeline.split_whitespace()).status();
        assert!(made.unwrap().success(), "{pipeline}");
        Seen::from(path.to_str().unwrap())
    };
    let limited = |transfer| Colorimetry { matrix: Matrix::Bt2020, range: Range::Limited, transfer };
    for through in [
        "x265enc speed-preset=ultrafast ! h265parse ! mp4mux",
        "x265enc speed-preset=ultrafast ! h265parse ! matroskamux",
        "vp9enc deadline=1 ! webmmux",
    ] {
        for (said, transfer) in [("bt2100-pq", Transfer::Pq), ("bt2100-hlg", Transfer::Hlg)] {
            let gradient = rgb("gradient num-buffers=3", 320, 180);
            let seen = make(&gradient, said, through);
            assert_eq!((seen.layout.colorimetry, seen.layout.format.is_ten_bit()), (limited(transfer), true), "{through} {said}");
            let shown = seen.shown();
            let grey: Vec<u8> = (0..180).map(|y| shown.rgb(160, y)[1]).collect();
            let (low, high) = (*grey.iter().min().unwrap(), *grey.iter().max().unwrap());
            assert!(low < 20 && high > 235 && grey[0].abs_diff(grey[179]) > 200, "{through} {said}: {grey:?}");
        }
        let [r, g, b] = [0xb4, 0x46, 0x32];
        let flat = format!(
            "videotestsrc num-buffers=3 pattern=solid-color foreground-color=0xff{r:02x}{g:02x}{b:02x} ! video/x-raw,format=BGRx,width=320,height=180,framerate=30/1,colorimetry=1:1:5:1 ! videoconvert dither=none gamma-mode=remap primaries-mode=fast"
        );
        let seen = make(&flat, "bt2020-10", through);
        assert_eq!((seen.layout.colorimetry, seen.layout.format.is_ten_bit()), (limited(Transfer::Sdr), true), "{through}");
        let shown = seen.shown().rgb(160, 90);
        let off = shown.iter().zip([r, g, b]).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(off <= 10, "{through}: {r} {g} {b} became {shown:?}");
    }
}

/// A model sees what is shown: preprocessing a source's own planes, and preprocessing the picture made of them.
#[test]
fn preprocessing_a_source_equals_preprocessing_its_picture() {
    const AREA: usize = 160 * 96;
    let (name, layout, colour, resize) = ("image".to_owned(), TensorLayout::Nchw, ColourOrder::Rgb, Resize::Letterbox);
    let spec = InputSpec { name, layout, width: 160, height: 96, colour, resize, mean: [0.0; 3], std: [1.0; 3] };
    let run = |seen: &Seen| {
        let mut input = vec![f32::NAN; 3 * AREA];
        Preprocess::new(spec.clone()).run(seen.view(), &mut input);
        input
    };
    let extra = ["bt2020-10", "bt2100-pq", "bt2100-hlg"];
    for format in PixelFormat::ALL {
        let said = COLORIMETRIES.map(|(said, ..)| said).into_iter().chain(extra);
        for said in said.take(if format.is_rgb() { 1 } else { 7 }) {
            let colorimetry = if format.is_rgb() { String::new() } else { format!(",colorimetry=(string){said}") };
            for (width, height) in [(640, 360), (957, 541)] {
                let smooth = Smooth::new(width, height);
                let seen = Seen::of(&format!("{} ! video/x-raw,format={}{colorimetry}", smooth.source(), format.name()));
                let (direct, by_picture) = (run(&seen), run(&seen.shown()));
                // A channel that the way from BT.2020 to BT.709 leaves dark turns the rounding of 8-bit samples into many levels.
                let is_steep = |i: usize| extra.contains(&said) && (0..3).any(|c| by_picture[c * AREA + i] < 80.0 / 255.0);
                let judged: Vec<usize> = (0..AREA).filter(|&i| !is_steep(i)).collect();
                assert!(2 * judged.len() > AREA, "{said}: only {} pixels are judged", judged.len());
                let off = judged.iter().flat_map(|i| [0, 1, 2].map(|c| (direct[c * AREA + i] - by_picture[c * AREA + i]).abs() * 255.0));
                let (sum, worst) = off.fold((0.0, 0.0f32), |(sum, worst), off| (sum + off, worst.max(off)));
                let mean = sum / (3 * judged.len()) as f32;
                // The picture is rounded to levels (and 10 bits to 8) before it is averaged.
                let most = match extra.contains(&said) {
                    true => 6.0,
                    false if format.is_ten_bit() => 2.5,
                    false => 1.0,
                };
                assert!(mean < 0.6 && worst < most, "{format:?} {said} {width}×{height}: mean {mean:.2}, worst {worst:.2}");
            }
        }
    }
}

#[test]
fn no_format_allocates_on_the_frame_path() {
    let (name, layout, colour, resize) = ("image".to_owned(), TensorLayout::Nchw, ColourOrder::Rgb, Resize::Stretch);
    let spec = InputSpec { name, layout, width: 64, height: 48, colour, resize, mean: [0.0; 3], std: [1.0; 3] };
    let mut preprocess = Preprocess::new(spec.clone());
    let (band, grey_brightness) = (Spread { mean: -2.0, std: 0.1 }, Some(Spread { mean: -2.0, std: 0.1 }));
    let mut normaliser = Normaliser::new(
        Normalisation {
            dead_band: 0.0,
            strength: 1.0,
            max_exposure: 1.5,
            max_balance: 0.4,
            max_stretch: 0.6,
            brightness: band,
            contrast: band,
            red_green: band,
            yellow_blue: band,
            saturation: band,
            grey_brightness,
        },
        spec,
    );
    let mut input = vec![0.0; 3 * 64 * 48];
    let mut picture = vec![0; 4 * 642 * 362];
    let mut thumb = Thumb::default();
    let transfers =
        [(Matrix::Bt709, Transfer::Sdr), (Matrix::Bt2020, Transfer::Sdr), (Matrix::Bt2020, Transfer::Hlg), (Matrix::Bt2020, Transfer::Pq)];
    for (format, (matrix, transfer)) in PixelFormat::ALL.into_iter().flat_map(|format| transfers.map(|colours| (format, colours))) {
        let colorimetry = Colorimetry { matrix, range: Range::Limited, transfer };
        let layout = FrameLayout::new(format, colorimetry, 642, 362).unwrap();
        let data = vec![100; layout.size];
        let view = FrameView::new(&layout, &data).unwrap();
        let mut frame = || {
            convert(&view, Rect::whole(642, 362), &mut picture, 4 * 642);
            thumb.update(&view);
            preprocess.run(view, &mut input);
            normaliser.run(&mut input, 0);
            input_hash(view)
        };
        frame();
        let (_, allocations) = during(frame);
        assert_eq!(allocations, 0, "{format:?} {matrix:?} {transfer:?}");
    }
}

/// R, G, B of a PNG at (x, y), and its size.
fn png_pixels(path: &std::path::Path) -> (Vec<u8>, usize, usize) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (pixels, info.width as usize, info.height as usize)
}

/// A run without overlay and HUD that goes on, within reason, until the AI has analysed a frame.
fn run_with_ai(source: &str) -> (Run, serde_json::Value) {
    for seconds in ["1", "4", "16"] {
        let run = Run::new(&["--source", source, "--seconds", seconds, "--overlay", "off", "--hud", "off", "--snapshot", "{}/last.png"]);
        let report = run.report();
        if report["frames"]["inferred"].as_u64().unwrap() > 0 {
            return (run, report);
        }
    }
    panic!("{source}: no frame was analysed in 16 s");
}

const BARS: [[u8; 3]; 7] = [[191, 191, 191], [191, 191, 0], [0, 191, 191], [0, 191, 0], [191, 0, 191], [191, 0, 0], [0, 0, 191]];

/// The program as it is shipped, on a source of each format: through the ring, the AI process and the display.
#[test]
fn every_format_runs_end_to_end() {
    for format in PixelFormat::ALL {
        let source = format!("gst:{} ! video/x-raw,format={}", rgb("smpte75", 642, 362), format.name());
        let (run, report) = run_with_ai(&source);
        assert_eq!(report["source"]["format"], format.name());
        let (pixels, width, height) = png_pixels(&run.path("last.png"));
        assert_eq!((width, height), (642, 362));
        for (i, expected) in BARS.iter().enumerate() {
            let at = 3 * (height / 4 * width + (2 * i + 1) * width / 14);
            let off = pixels[at..at + 3].iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(off <= 3, "{}: bar {i} is {:?}, not {expected:?}", format.name(), &pixels[at..at + 3]);
        }
    }
}

/// 4K faster than any machine copies it: refused before anything is made, with what it needs and what to do.
#[test]
fn ultra_high_definition_that_no_machine_passes_is_refused_at_the_start() {
    let source = "gst:videotestsrc pattern=black ! video/x-raw,format=NV12,width=3840,height=2160,framerate=1000/1";
    let (folder, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut command = keyhole();
    command.env("XDG_STATE_HOME", state.path()).args(["run", "--display", "headless", "--source", source, "--frames", "5"]);
    command.args(["--case", "OR3/0007", "--record"]).arg(folder.path().join("x.mp4"));
    let run = Run { output: command.output().unwrap(), folder };
    assert_eq!((run.output.status.code(), run.left().len()), (Some(2), 0), "{}", run.stderr());
    assert!(!state.path().join("keyhole/case.toml").exists(), "no case is open");
    for word in [source, "3840×2160 at 1000.00", "of the 1.0 ms", "smaller picture or a lower rate"] {
        assert!(run.stderr().contains(word), "'{word}' is not in: {}", run.stderr());
    }
}

/// Four times the pixels of anything else that is tested, through ring, AI process and display. Its rate is not judged here.
#[test]
fn ultra_high_definition_runs_end_to_end() {
    for (format, colorimetry) in [("YUY2", ""), ("P010_10LE", ",colorimetry=(string)bt2100-pq")] {
        let source =
            format!("gst:videotestsrc pattern=smpte75 ! video/x-raw,format={format}{colorimetry},width=3840,height=2160,framerate=5/1");
        let (run, report) = run_with_ai(&source);
        assert_eq!((&report["source"]["width"], &report["source"]["height"]), (&3840.into(), &2160.into()));
        let (pixels, width, height) = png_pixels(&run.path("last.png"));
        assert_eq!((width, height), (3840, 2160));
        if colorimetry.is_empty() {
            let red = &pixels[3 * (500 * width + 11 * width / 14)..][..3];
            assert!(red[0].abs_diff(191) <= 3 && red[1] <= 3 && red[2] <= 3, "{format}: {red:?}");
        }
    }
}
