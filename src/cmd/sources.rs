//! `keyhole sources`: what is attached, in which formats and rates, and what to write after `--source`.

use super::run;
use crate::capture::{self, Device};
use clap::{Args, FromArgMatches};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Play this source without an overlay: in a window where there is a display, else headless.
    #[arg(long, value_name = "S")]
    preview: Option<String>,
    /// End the preview after T seconds of video.
    #[arg(long, value_name = "T", requires = "preview")]
    seconds: Option<f64>,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(source) = &arguments.preview {
        return preview(source, arguments.seconds);
    }
    let devices = capture::find_devices()?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&devices)?);
    } else {
        print!("{}", listing(&devices));
    }
    Ok(())
}

/// The normal run, with nothing drawn over the picture.
fn preview(source: &str, seconds: Option<f64>) -> anyhow::Result<()> {
    let mut words = vec!["run".to_owned(), "--overlay".into(), "off".into(), "--source".into(), source.to_owned()];
    words.extend(seconds.into_iter().flat_map(|seconds| ["--seconds".to_owned(), seconds.to_string()]));
    let command = run::Arguments::augment_args(clap::Command::new("run"));
    run::main(run::Arguments::from_arg_matches(&command.try_get_matches_from(words)?)?)
}

const OTHERS: &str = "\
Not listed, because nobody announces them:
  rtsp://HOST:554/PATH                 network camera (?transport=tcp|udp&latency=MS)
  srt://HOST:PORT   udp://:PORT        MPEG-TS over SRT or UDP
  rtp://:PORT?encoding=H264            RTP without a server (H264, H265, JPEG, VP8, VP9, MP2T)
  clip.mp4   sim:   gst:DESCRIPTION    a recording, the simulator, any GStreamer pipeline
";

fn listing(devices: &[Device]) -> String {
    let mut text = String::new();
    for device in devices {
        text += &format!("{}\n  --source '{}'\n", device.name, device.source);
        text +=
            &device.lasting_source.as_ref().map_or_else(String::new, |source| format!("  --source '{source}'   (whatever its number)\n"));
        for mode in &device.modes {
            let rates = if mode.rates.is_empty() { "any rate".to_owned() } else { format!("{} a second", mode.rates.join(", ")) };
            text += &format!("    {:>5}×{:<5} {:<6} {rates}   --source '{}'\n", mode.width, mode.height, mode.format, mode.source);
        }
        text += &device.note.as_ref().map_or_else(String::new, |note| format!("    ({note})\n"));
    }
    if devices.is_empty() {
        text += "No camera and no capture card is attached to this machine.\n\
                 Looked for: V4L2 cameras and grabbers (/dev/video*), DeckLink cards (with Blackmagic's driver, Desktop Video).\n\
                 Plug one in and ask again; a card needs its driver, a camera may need membership of the group 'video'.\n";
    }
    text + "\n" + OTHERS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::DeviceMode;

    #[test]
    fn the_listing_says_what_to_write_and_what_to_do() {
        let mode = DeviceMode {
            format: "YUY2".into(),
            width: 1920,
            height: 1080,
            rates: vec!["60".into(), "30".into()],
            source: "v4l2:/dev/video0?size=1920x1080&format=YUY2&fps=60".into(),
        };
        let camera = Device {
            name: "Grabber".into(),
            source: "v4l2:/dev/video0".into(),
            lasting_source: Some("v4l2:/dev/v4l/by-id/usb-Grabber_A1".into()),
            modes: vec![mode],
            note: None,
        };
        let text = listing(&[camera]);
        assert!(text.contains("Grabber\n  --source 'v4l2:/dev/video0'\n"), "{text}");
        assert!(text.contains("60, 30 a second   --source 'v4l2:/dev/video0?size=1920x1080&format=YUY2&fps=60'"), "{text}");
        assert!(text.contains("  --source 'v4l2:/dev/v4l/by-id/usb-Grabber_A1'   (whatever its number)\n"), "{text}");
        assert!(!text.contains("No camera") && text.contains("rtsp://"));
        let text = listing(&[]);
        assert!(text.contains("Looked for") && text.contains("/dev/video*") && text.contains("DeckLink") && text.contains("Plug one in"));
    }
}
