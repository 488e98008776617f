//! Colour bars through every format, matrix and range: what is reported must give the bars' own colours back.

use super::{Seen, clips, manual, next, open_at};
use crate::frame::{Colorimetry, FrameView, Matrix, PixelFormat, Range, rows};

/// SMPTE bars at 75 %: from left to right.
const BARS: [[f64; 3]; 7] =
    [[191., 191., 191.], [191., 191., 0.], [0., 191., 191.], [0., 191., 0.], [191., 0., 191.], [191., 0., 0.], [0., 0., 191.]];

/// The pixel at (x, y), by the reported format, matrix and range.
fn rgb(seen: &Seen, x: usize, y: usize) -> [f64; 3] {
    let (luma, cb, cr): (f64, f64, f64) = match seen.layout.format {
        PixelFormat::Rgb => return std::array::from_fn(|c| f64::from(seen.row(0, y)[3 * x + c])),
        PixelFormat::Bgrx | PixelFormat::Bgra => return std::array::from_fn(|c| f64::from(seen.row(0, y)[4 * x + 2 - c])),
        _ => {
            let view = FrameView::new(&seen.layout, &seen.bytes).unwrap();
            let mut piece = rows::Row::<u16>::default();
            let from = x / rows::GROUP_PIXELS * rows::GROUP_PIXELS;
            piece.unpack_reference(&view, y, from);
            let at = x - from;
            [piece.y()[at], piece.uv()[at / 2 * 2], piece.uv()[at / 2 * 2 + 1]].map(|ten| f64::from(ten) / 4.)
        }
    }
    .into();
    let (luma, cb, cr) = match seen.layout.colorimetry.range {
        Range::Limited => ((luma - 16.) / 219., (cb - 128.) / 224., (cr - 128.) / 224.),
        Range::Full => (luma / 255., (cb - 128.) / 255., (cr - 128.) / 255.),
    };
    let (kr, kb) = seen.layout.colorimetry.matrix.kr_kb();
    let (red, blue) = (luma + 2. * (1. - kr) * cr, luma + 2. * (1. - kb) * cb);
    let green = (luma - kr * red - kb * blue) / (1. - kr - kb);
    [red, green, blue].map(|v| v * 255.)
}

fn assert_bars(seen: &Seen, tolerance: f64, what: &str) {
    let (width, height) = (seen.layout.width, seen.layout.height);
    for (i, expected) in BARS.iter().enumerate() {
        let x = (2 * i + 1) * width / 14;
        let got = rgb(seen, x, height / 4);
        let off = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0., f64::max);
        assert!(off <= tolerance, "{what}: bar {i} is {got:.0?}, not {expected:.0?}");
    }
}

const COLORIMETRIES: [(&str, Matrix, Range); 4] = [
    ("2:4:16:4", Matrix::Bt601, Range::Limited),
    ("bt709", Matrix::Bt709, Range::Limited),
    ("1:4:16:4", Matrix::Bt601, Range::Full),
    ("1:3:5:1", Matrix::Bt709, Range::Full),
];

#[test]
fn raw_bars_in_every_format_matrix_and_range_at_odd_sizes() {
    for (format, (width, height)) in [
        (PixelFormat::Nv12, (323, 181)),
        (PixelFormat::I420, (211, 137)),
        (PixelFormat::I420, (640, 360)),
        (PixelFormat::Yuy2, (323, 181)),
        (PixelFormat::Uyvy, (211, 137)),
        (PixelFormat::V210, (323, 181)),
        (PixelFormat::P010, (211, 137)),
    ] {
        for (said, matrix, range) in COLORIMETRIES {
            let uri = format!(
                "gst:videotestsrc pattern=smpte75 ! video/x-raw,format=RGB,width={width},height={height} ! videoconvert dither=none ! video/x-raw,format={},colorimetry=(string){said}",
                format.name()
            );
            let mut source = open_at(&uri, manual());
            let seen = next(&mut *source);
            assert_eq!((seen.layout.format, seen.layout.width, seen.layout.height), (format, width, height));
            assert_eq!(seen.layout.colorimetry, Colorimetry::sdr(matrix, range), "{said}");
            assert_eq!(source.info().colorimetry, seen.layout.colorimetry);
            assert_bars(&seen, 4., &uri);
        }
    }
}

#[test]
fn rgb_formats_are_taken_as_they_are() {
    for format in [PixelFormat::Rgb, PixelFormat::Bgrx, PixelFormat::Bgra] {
        let uri = format!("gst:videotestsrc pattern=smpte75 ! video/x-raw,format={},width=101,height=75", format.name());
        let seen = next(&mut *open_at(&uri, manual()));
        assert_eq!((seen.layout.format, seen.layout.colorimetry.range), (format, Range::Full));
        assert_bars(&seen, 1., format.name());
    }
}

/// GStreamer leaves the V of an odd row's last pixel as the memory was; what reaches the ring is defined.
#[test]
fn the_last_pixel_of_an_odd_packed_row_has_its_neighbours_v() {
    for (format, at) in [("YUY2", 3), ("UYVY", 2)] {
        let uri =
            format!("gst:videotestsrc pattern=solid-color foreground-color=0xffc85a32 ! video/x-raw,format={format},width=101,height=75");
        let seen = next(&mut *open_at(&uri, manual()));
        for y in 0..75 {
            let row = seen.row(0, y);
            assert_eq!(row[200 + at], row[196 + at], "{format} row {y}");
        }
    }
}

#[test]
fn other_formats_are_converted_and_keep_their_colours() {
    for format in ["Y444", "xRGB", "YVYU", "Y42B", "I420_10LE", "I422_10LE"] {
        let uri = format!("gst:videotestsrc pattern=smpte75 ! video/x-raw,format={format},width=320,height=180");
        assert_bars(&next(&mut *open_at(&uri, manual())), 5., format);
    }
}

#[test]
fn an_encoded_file_says_its_matrix_and_range() {
    let folder = tempfile::tempdir().unwrap();
    for (n, (said, matrix, range)) in COLORIMETRIES.into_iter().enumerate() {
        let path = folder.path().join(format!("bars-{n}.mp4"));
        clips::write(
            &format!(
                "videotestsrc pattern=smpte75 num-buffers=3 ! video/x-raw,format=RGB,width=322,height=182,framerate=25/1 ! videoconvert dither=none ! video/x-raw,format=I420,colorimetry=(string){said} ! x264enc pass=quant quantizer=4 threads=1 ! mp4mux"
            ),
            &path,
        );
        let seen = next(&mut *open_at(path.to_str().unwrap(), manual()));
        assert_eq!(seen.layout.colorimetry, Colorimetry::sdr(matrix, range), "{said}");
        assert_bars(&seen, 6., said);
    }
}

#[test]
fn a_motion_jpeg_file_is_full_range_601() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bars.avi");
    clips::write(
        "videotestsrc pattern=smpte75 num-buffers=3 ! video/x-raw,format=RGB,width=352,height=288,framerate=25/1 ! videoconvert ! video/x-raw,format=I420,colorimetry=1:4:0:0 ! jpegenc quality=98 ! avimux",
        &path,
    );
    let seen = next(&mut *open_at(path.to_str().unwrap(), manual()));
    assert_eq!(seen.layout.colorimetry, Colorimetry::sdr(Matrix::Bt601, Range::Full));
    assert_bars(&seen, 8., "jpeg");
}
