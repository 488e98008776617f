use super::gallery::{SHAPES, painted, painted_on, states};
use super::*;
use crate::base::hud::{Banner, PipCaption, Signal};
use crate::base::texts::Text;
use crate::frame::FrameView;
use crate::overlay::blend::{over, premultiplied};
use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned, report_ms, write_png};
use std::sync::mpsc;

const SIZES: [(usize, usize); 6] = [(640, 360), (1280, 720), (1920, 1080), (3840, 2160), (960, 720), (720, 576)];

fn check(layer: &Layer, allowed: &[Rect]) {
    let covered: usize = layer.rects.iter().map(Rect::area).sum();
    let inside: usize = layer.rects.iter().flat_map(|rect| allowed.iter().map(|a| a.intersection(rect).area())).sum();
    assert_eq!(covered, inside, "a plate outside its rectangle");
    for (i, pixel) in layer.data.chunks_exact(4).enumerate().filter(|(_, pixel)| **pixel != [0; 4]) {
        assert!(pixel[..3].iter().all(|c| *c <= pixel[3]), "not premultiplied");
        let holding = layer.rects.iter().filter(|rect| rect.contains(i % layer.width, i / layer.width)).count();
        assert_eq!(holding, 1, "painted outside the plates, or plates overlap");
    }
}

#[test]
fn every_state_fits_its_rectangles_in_every_language_and_size() {
    for (width, height) in SIZES {
        let layout = Layout::of(width, height);
        for language in Language::ALL {
            let mut screen = screen::Screen::new();
            let mut sheet = Sheet::new(Sizes { picture: (width, height), screen: None });
            for (name, mut status) in states() {
                status.language = language;
                let has_room = screen.paint(&status, &mut sheet);
                let layer = &sheet.over;
                assert!(has_room, "{name} is cut at {width}×{height} in {language:?}");
                let mut allowed = layout.declared(status.pip.is_some()).to_vec();
                if !status.has_picture() {
                    allowed.push(layout.no_signal);
                }
                // Every pixel of the two small sizes; the others differ in scale alone.
                if width < 1900 {
                    check(layer, &allowed);
                }
                assert_eq!(layer.is_empty(), name == "hud-off", "{name}");
            }
        }
    }
}

/// Nothing but what is wrong with the picture, and a picture in picture's words, stands over a picture that leaves bars.
#[test]
fn every_state_stands_beside_a_picture_that_leaves_bars() {
    for [picture, screen] in SHAPES {
        for language in Language::ALL {
            for (name, status) in states() {
                let (sheet, has_room) = painted_on(&status, language, picture, Some(screen));
                assert!(has_room, "{name} is cut beside {picture:?} on {screen:?} in {language:?}");
                let bars = sheet.bars.unwrap();
                assert!(sheet.beside.rects.iter().all(|rect| rect.intersection(&bars.picture).is_empty()));
                assert_eq!(sheet.beside.is_empty(), !status.is_on, "{name}");
                check(&sheet.beside, &bars.panels());
                let layout = Layout::of(picture.0, picture.1);
                let mut allowed = vec![layout.pip.caption];
                match status.banner() {
                    Some(Banner::NoSignal) => allowed.push(layout.no_signal),
                    Some(Banner::FrozenPicture | Banner::BlackPicture | Banner::FaultyPicture) => allowed.push(layout.banner),
                    _ => {}
                }
                check(&sheet.over, &allowed);
            }
        }
    }
}

#[test]
fn a_screen_of_the_pictures_shape_has_the_panels_over_its_rim_and_a_hung_display_leaves_black_bars() {
    let (mut hud, go, answer) = held((640, 360));
    hud.set_screen(Some((640, 360)));
    assert!(hud.is_of_another_size());
    hud.say(0, live());
    go.send(()).unwrap();
    await_answer(&mut hud, &answer, 0);
    assert!(!hud.is_of_another_size() && hud.beside(0).is_none());

    let answer = Arc::new(Wake::default());
    let mut hud = Hud::start((640, 360), Language::En, answer.clone()).unwrap();
    let running = states().remove(0).1;
    hud.set_screen(Some((640, 480)));
    hud.say(0, running.clone());
    await_answer(&mut hud, &answer, 0);
    let first = hud.beside(0).unwrap();
    assert_eq!((first.layer.width, first.layer.height, first.serial), (640, 480, 1));
    hud.say(5, running.clone());
    assert!(hud.beside(LATE_NS + 6).is_none(), "what it shows may be wrong by now");
    await_answer(&mut hud, &answer, LATE_NS + 6);
    assert_eq!(hud.beside(LATE_NS + 6).unwrap().serial, 2);
    hud.set_screen(Some((700, 480)));
    assert!(hud.beside(LATE_NS + 6).is_none(), "of a window of another size");
    hud.set_screen(None);
    hud.say(LATE_NS + 7, running);
    await_answer(&mut hud, &answer, LATE_NS + 7);
    assert!(hud.beside(LATE_NS + 7).is_none() && hud.layer(LATE_NS + 7).unwrap().rects.len() > 3);
}

#[test]
fn alarms_that_have_no_room_are_counted() {
    let (_, everything) = states().into_iter().find(|(name, _)| *name == "everything").unwrap();
    assert!(everything.alarms.len() > 3);
    let fewer = Status { alarms: everything.alarms[..2].to_vec(), ..everything.clone() };
    let wide = |status: &Status| {
        let (layer, _) = painted(status, Language::En, 1280, 720);
        layer.rects.iter().filter(|rect| rect.x0 == 0 && rect.y1 == 720).map(Rect::area).sum::<usize>()
    };
    let (all, two) = (painted(&everything, Language::En, 1280, 720).0, painted(&fewer, Language::En, 1280, 720).0);
    assert!(all.data != two.data && wide(&everything) >= wide(&fewer), "the number of the others is said");
}

#[test]
fn what_is_too_long_is_cut_and_stays_inside() {
    let long: Arc<str> = "a very long name that says far more than there is room for ".repeat(8).into();
    for (width, height) in [(1280, 720), (720, 576), (321, 241), (150, 400), (16, 16)] {
        let (_, mut status) = states().into_iter().find(|(name, _)| *name == "everything").unwrap();
        (status.engines, status.case) = (long.clone(), Some(long.clone()));
        let (layer, has_room) = painted(&status, Language::De, width, height);
        assert!(!has_room || layer.is_empty());
        check(&layer, &Layout::of(width, height).declared(true));
    }
}

#[test]
fn every_text_has_its_glyphs() {
    let screen = screen::Screen::new();
    let mut missing = Vec::new();
    let mut output = screen.context().run_pass(egui::RawInput::default(), |context| {
        let font = egui::FontId::monospace(20.0);
        for &text in Text::ALL {
            for language in Language::ALL {
                let words = text.of(language);
                let has_glyphs = |line: &str| context.fonts_mut(|fonts| fonts.has_glyphs(&font, line));
                if !words.lines().all(has_glyphs) {
                    missing.push(words);
                }
            }
        }
    });
    output.textures_delta.clear();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(screen.context().fonts(|fonts| fonts.definitions().font_data.len()), 1, "the font that the screen uses");
}

/// Shapes are compared without colour: where ink is, not which.
#[test]
fn every_banner_has_a_sign_of_its_own() {
    let side = 64;
    let shape = |banner: Banner| -> Vec<bool> {
        let context = egui::Context::default();
        let mut output = context.run_pass(egui::RawInput::default(), |context| {
            let painter = context.layer_painter(egui::LayerId::background());
            let square = egui::Rect::from_min_size(egui::pos2(2.0, 2.0), egui::vec2(60.0, 60.0));
            sign::draw(&painter, banner, square, egui::Color32::WHITE);
        });
        let mut textures = mesh::Textures::default();
        textures.take(&mut output.textures_delta);
        output.textures_delta.clear();
        let mut layer = Layer::new(side, side);
        for clipped in context.tessellate(std::mem::take(&mut output.shapes), 1.0) {
            if let egui::epaint::Primitive::Mesh(mesh) = clipped.primitive {
                textures.paint(&mesh, Rect::whole(side, side), &mut layer);
            }
        }
        layer.data.chunks_exact(4).map(|pixel| pixel[3] > 128).collect()
    };
    let shapes = Banner::ALL.map(shape);
    for (i, a) in shapes.iter().enumerate() {
        assert!(a.iter().filter(|ink| **ink).count() > 300, "{:?} is hardly there", Banner::ALL[i]);
        for (j, b) in shapes[..i].iter().enumerate() {
            let differing = a.iter().zip(b).filter(|(a, b)| a != b).count();
            assert!(differing > 200, "{:?} and {:?} differ in {differing} of 4096 pixels", Banner::ALL[i], Banner::ALL[j]);
        }
    }
}

/// `tests/golden-hud/NAME.png`: the bitmap over grey. KEYHOLE_BLESS=1 writes it anew: look at it before it is committed.
#[test]
fn the_status_display_looks_as_it_was_approved() {
    let (width, height) = (640, 360);
    for (language, wanted) in [(Language::En, "everything"), (Language::De, "signal-lost"), (Language::De, "pip-frozen")] {
        let (_, status) = states().into_iter().find(|(name, _)| *name == wanted).unwrap();
        let (layer, _) = painted(&status, language, width, height);
        let grey = 0xff80_8080u32;
        let got: Vec<u8> = layer.data.as_chunks::<4>().0.iter().flat_map(|p| over(u32::from_le_bytes(*p), grey).to_le_bytes()).collect();
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden-hud/{wanted}.png"));
        if std::env::var_os("KEYHOLE_BLESS").is_some() {
            write_png(&path, &got, width, height);
        }
        let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e} (KEYHOLE_BLESS=1 writes it)", path.display()));
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        assert_eq!(rgb.len(), 3 * width * height);
        // Processors may differ in the last bit of an edge.
        let off = |got: &[u8], wish: &[u8]| (0..3).map(|i| got[2 - i].abs_diff(wish[i])).max() > Some(2);
        let differing = got.chunks_exact(4).zip(rgb.chunks_exact(3)).filter(|(got, wish)| off(got, wish)).count();
        if differing > 0 {
            let look = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/screens/golden-{wanted}.png"));
            write_png(&look, &got, width, height);
        }
        assert_eq!(differing, 0, "{wanted} differs; look at target/screens/golden-{wanted}.png");
    }
}

/// WCAG 2.2: relative luminance of an sRGB colour, and the contrast of two.
fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let luminance = |rgb: [u8; 3]| {
        let linear = rgb.map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn text_stands_out_from_its_plate_on_any_picture() {
    let inks = [screen::TEXT_RGB, screen::ALARM_RGB, screen::REC_RGB].into_iter().chain(Banner::ALL.map(sign::ink));
    let plate = premultiplied(screen::GROUND_RGB, screen::GROUND_ALPHA);
    let mut worst = f64::MAX;
    for ink in inks {
        // The blend grows with each channel of the picture: the corners of the colour cube hold the extremes.
        for corner in 0..8u32 {
            let picture = [0, 8, 16].map(|bit| if corner >> (bit / 8) & 1 == 1 { 255u32 << bit } else { 0 }).iter().sum::<u32>();
            let [b, g, r, _] = over(plate, picture | 255 << 24).to_le_bytes();
            worst = worst.min(contrast(ink, [r, g, b]));
        }
    }
    assert!(worst >= 4.5, "{worst:.2}");
    assert!(contrast([255; 3], [0; 3]) > 20.9 && contrast([119; 3], [255; 3]) < 4.5, "the measure is WCAG's");
}

#[test]
fn the_screen_says_no_percentage() {
    for (name, mut status) in states() {
        for language in Language::ALL {
            status.language = language;
            let lines = [status.source_line(), status.ai_line(), status.figures().concat(), status.recording_line().unwrap_or_default()];
            assert!(lines.iter().all(|line| !line.contains('%')), "{name}: {lines:?}");
        }
    }
}

/// A painter that answers only when it is told to.
fn held(size: (usize, usize)) -> (Hud, mpsc::Sender<()>, Arc<Wake>) {
    let (go, told) = mpsc::channel();
    let answer = Arc::new(Wake::default());
    let mut is_first = true;
    let paint: Paint = Box::new(move |status, sheet| {
        let layer = &mut sheet.over;
        // The first is NO SIGNAL, painted before the thread begins.
        if !std::mem::take(&mut is_first) {
            let _ = told.recv();
        }
        layer.clear();
        let rect = Rect { x0: 0, y0: 0, x1: 4, y1: 4 };
        layer.row_mut(0, 0, 4).fill(if status.signal == Signal::Live { 200 } else { 100 });
        layer.rects.push(rect);
    });
    (Hud::start_with(size, Language::En, answer.clone(), paint).unwrap(), go, answer)
}

fn await_answer(hud: &mut Hud, answer: &Wake, now_ns: u64) {
    while !hud.poll(now_ns) {
        answer.wait(Duration::from_millis(50));
    }
}

fn live() -> Status {
    Status { is_on: true, signal: Signal::Live, ..Status::default() }
}

#[test]
fn a_display_that_hangs_is_taken_away_and_comes_back() {
    let (mut hud, go, answer) = held((64, 48));
    assert_eq!(hud.blank().map(|blank| blank.row(0, 0, 1)[0]), Some(100), "NO SIGNAL is there from the start");
    assert!(hud.layer(0).is_none(), "nothing was painted yet");
    hud.say(0, live());
    go.send(()).unwrap();
    await_answer(&mut hud, &answer, 5);
    assert!(hud.is_up_to_date() && hud.layer(u64::MAX).is_some(), "what was answered does not age");

    hud.say(10, live());
    hud.say(LATE_NS, live());
    assert!(!hud.poll(LATE_NS + 10) && hud.layer(LATE_NS + 10).is_some());
    assert!(hud.is_late(LATE_NS + 11) && hud.layer(LATE_NS + 11).is_none(), "what it shows may be wrong by now");
    assert!(hud.blank().is_some(), "NO SIGNAL can be said all the same");
    go.send(()).unwrap();
    go.send(()).unwrap();
    while !hud.is_up_to_date() {
        await_answer(&mut hud, &answer, 2 * LATE_NS);
    }
    assert!(hud.layer(9 * LATE_NS).is_some());
}

#[test]
fn after_a_change_of_format_nothing_of_the_old_size_is_shown() {
    let (mut hud, go, answer) = held((64, 48));
    hud.say(0, live());
    go.send(()).unwrap();
    await_answer(&mut hud, &answer, 0);
    hud.resize((128, 96));
    assert!(hud.layer(0).is_none() && hud.blank().is_none());
    hud.say(0, live());
    go.send(()).unwrap();
    go.send(()).unwrap();
    await_answer(&mut hud, &answer, 0);
    assert_eq!(hud.layer(0).map(|layer| (layer.width, layer.height)), Some((128, 96)));
    // NO SIGNAL of the new size was painted before.
    assert_eq!(hud.blank().map(|layer| layer.width), Some(128));
}

fn frozen(view: &FrameView<'_>, size: (usize, usize)) -> Pip {
    let mut pip = Pip::default();
    pip.toggle(PipMode::Frozen);
    pip.update(view, 0, size);
    pip
}

#[test]
fn a_picture_in_picture_is_shown_only_under_its_own_words() {
    let (width, height) = (640, 360);
    let picture = Owned::noise(FORMATS[0], COLORIMETRIES[1], width, height, 1);
    let answer = Arc::new(Wake::default());
    let mut hud = Hud::start((width, height), Language::En, answer.clone()).unwrap();
    let rect = hud.layout().pip.picture;
    let pip = frozen(&picture.view(), (rect.width(), rect.height()));
    hud.say(0, live());
    await_answer(&mut hud, &answer, 0);
    assert!(!hud.stamp(&pip, 0), "the bitmap says nothing of a frozen picture");

    let said = |mode| Status { pip: Some(PipCaption { mode, age_s: 0 }), ..live() };
    hud.say(0, said(PipMode::Clean));
    await_answer(&mut hud, &answer, 0);
    assert!(!hud.stamp(&pip, 0), "the bitmap says that it is live");
    hud.say(0, said(PipMode::Frozen));
    await_answer(&mut hud, &answer, 0);
    let bare = hud.layer(0).unwrap().clone();
    assert!(hud.stamp(&pip, 0) && hud.stamp(&pip, 0));
    let layer = hud.layer(0).unwrap();
    check(layer, &[&hud.layout().declared(true)[..], &[]].concat());
    assert!((rect.y0..rect.y1).zip(pip.rows()).all(|(y, row)| layer.row(y, rect.x0, rect.x1) == row));

    hud.say(0, said(PipMode::Frozen));
    assert!(!hud.stamp(&pip, LATE_NS + 1), "nobody counts its age any more");
    await_answer(&mut hud, &answer, 0);
    let closed = Pip::default();
    assert!(hud.stamp(&pip, 0) && !hud.stamp(&closed, 0));
    assert!(hud.layer(0).unwrap().data == bare.data, "it leaves nothing behind");
    assert_eq!(hud.layer(0).unwrap().rects, bare.rects);
}

#[test]
#[ignore = "a measurement"]
fn time_of_a_status() {
    let (_, status) = states().into_iter().find(|(name, _)| *name == "everything").unwrap();
    for (width, height) in SIZES {
        let mut screen = screen::Screen::new();
        let mut sheet = Sheet::new(Sizes { picture: (width, height), screen: None });
        report_ms(&format!("status display {width}×{height}"), || assert!(screen.paint(&status, &mut sheet)));
    }
    let mut hud = Hud::start((1920, 1080), Language::De, Arc::default()).unwrap();
    report_ms("what saying it costs the display thread", || hud.say(0, status.clone()));
}
