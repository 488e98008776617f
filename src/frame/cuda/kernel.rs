//! The kernels' sources, and how a kernel is launched.

use std::fmt;

/// One pass: a file of `shaders/` with the entries that it must have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// The file's name without its ending.
    pub name: &'static str,
    /// `shaders/numbers.cuh`, then the file.
    pub source: &'static str,
    pub entries: &'static [&'static str],
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! kernel {
    ($name:literal, $($entry:literal),+) => {
        Kernel {
            name: $name,
            source: concat!(
                include_str!("../../../shaders/numbers.cuh"),
                // The compiler counts its lines anew.
                "\n#line 1\n",
                include_str!(concat!("../../../shaders/", $name, ".cu"))
            ),
            entries: &[$($entry),+],
        }
    };
}

pub const PREVIEW: Kernel = kernel!("preview", "preview_rows", "preview_thumbnail", "preview_finish");
pub const PREPROCESS: Kernel = kernel!("preprocess", "preprocess");
pub const GLANCE: Kernel =
    kernel!("glance", "glance_thumb", "glance_shrink", "glance_details", "glance_counts", "glance_sums", "glance_edges");
pub const INPUT_HASH: Kernel = kernel!("input_hash", "input_hash_blocks");
pub const STILLNESS: Kernel = kernel!("stillness", "stillness_compare", "stillness_share");
pub const DECODE: Kernel = kernel!("decode", "decode");
pub const DETECTION: Kernel = kernel!("detection", "detection_candidates", "detection_suppress");
pub const MASK_RUNS: Kernel = kernel!("mask_runs", "mask_runs_count", "mask_runs_list");
pub const SPLIT: Kernel = kernel!("split", "split_owner", "split_cut");
pub const REGIONS: Kernel =
    kernel!("regions", "regions_start", "regions_join", "regions_measure", "regions_settle", "regions_number", "regions_map");
pub const CROSSINGS: Kernel = kernel!("crossings", "crossings_count", "crossings_list");
pub const REGION_SUMS: Kernel = kernel!("region_sums", "tissue_sums", "instrument_sums");
pub const LOOKS: Kernel = kernel!("looks", "instrument_looks");
pub const MOTION: Kernel = kernel!("motion", "motion_half", "motion_quarter", "motion_camera", "motion_flow");
pub const REGION_SHAPE: Kernel = kernel!("region_shape", "region_shape");
pub const MASK_EDGES: Kernel = kernel!("mask_edges", "mask_edges");
pub const MASK_OVERLAY: Kernel = kernel!("mask_overlay", "mask_overlay");

/// All of them, in the order in which a frame meets them.
pub const KERNELS: [Kernel; 17] = [
    PREVIEW,
    PREPROCESS,
    GLANCE,
    INPUT_HASH,
    STILLNESS,
    DECODE,
    DETECTION,
    MASK_RUNS,
    SPLIT,
    REGIONS,
    CROSSINGS,
    REGION_SUMS,
    LOOKS,
    MOTION,
    REGION_SHAPE,
    MASK_EDGES,
    MASK_OVERLAY,
];

/// Everything about a launch but its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch {
    pub kernel: Kernel,
    pub entry: &'static str,
    /// In blocks.
    pub grid: [u32; 3],
    /// In threads.
    pub block: [u32; 3],
    /// Dynamic shared memory of a block.
    pub shared_bytes: u32,
}

impl Launch {
    /// As many blocks in a row as `count` threads need; one at least.
    pub fn over(kernel: Kernel, entry: &'static str, count: usize, threads: u32) -> Self {
        let blocks = (count as u32).div_ceil(threads).max(1);
        Launch { kernel, entry, grid: [blocks, 1, 1], block: [threads, 1, 1], shared_bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kernel of `shaders/` is listed, with all of its entries, and says what goes in and out.
    #[test]
    fn the_list_is_what_lies_in_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<String> = files
            .filter(|path| path.extension().is_some_and(|ending| ending == "cu"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        let mut listed = KERNELS.map(|kernel| kernel.name.to_owned());
        listed.sort_unstable();
        assert_eq!(names, listed);
        for kernel in KERNELS {
            let entries: Vec<&str> = kernel.source.split("__global__ void ").skip(1).map(|rest| rest.split('(').next().unwrap()).collect();
            assert_eq!(entries, kernel.entries, "{}", kernel.name);
            let (_, own) = kernel.source.split_once("#line 1\n").unwrap();
            let head = own.lines().take_while(|line| line.starts_with("//")).collect::<String>();
            assert!(head.contains(" in ") && head.contains("out "), "{}: no in and out in its head", kernel.name);
            assert!(!kernel.source.contains("#include"), "{}: NVRTC is given no headers", kernel.name);
        }
    }

    #[test]
    fn a_launch_has_a_thread_for_each_and_less_than_a_block_more() {
        for (count, blocks) in [(0, 1), (1, 1), (256, 1), (257, 2), (61_440, 240)] {
            let launch = Launch::over(DECODE, "decode", count, 256);
            assert_eq!((launch.grid, launch.block), ([blocks, 1, 1], [256, 1, 1]), "{count}");
        }
    }
}
