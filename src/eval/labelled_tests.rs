use super::*;

struct Sizes;

impl Visitor for Sizes {
    fn size_of(&mut self, image: &Path) -> Result<Option<(usize, usize)>, String> {
        read_png(image).map(|mask| Some((mask.width, mask.height)))
    }

    fn progress(&mut self, _done: usize, _total: usize) {}
}

fn grey(path: &Path, width: u32, ids: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), width, ids.len() as u32 / width);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(ids).unwrap();
}

const DESCRIPTION: &str =
    "name = 'd'\nlicence = 'l'\nsource = 's'\n[classes]\n0 = 'background'\n2 = 'liver'\n5 = 'grasper'\n21 = 'liver'\n";

fn set(description: &str, files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("dataset.toml"), format!("{DESCRIPTION}{description}")).unwrap();
    files.iter().for_each(|(name, ids)| grey(&dir.path().join(name), 2, ids));
    dir
}

fn faults_of(dir: &Path) -> String {
    DataSet::open_with(dir, &mut Sizes).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_whole_set_is_read_with_patients_subgroups_and_its_own_class_ids() {
    let dir = set(
        "[subgroups]\n'patient 3' = ['a.png']\n'scope B' = ['a.png', 'b.png']\n",
        &[("images/a.png", &[9, 9, 9, 9]), ("images/b.png", &[8; 4]), ("masks/a.png", &[2, 21, 5, 255]), ("masks/b.png", &[0; 4])],
    );
    let set = DataSet::open_with(dir.path(), &mut Sizes).unwrap();
    assert_eq!((set.pictures[0].patient.as_deref(), &set.pictures[0].subgroups[..]), (Some("3"), &["scope B".to_owned()][..]));
    assert_eq!(set.pictures[1].patient, None);
    assert_eq!(set.labelled(&[ClassId(2), ClassId(4), ClassId(13)]), [ClassId(2), ClassId(13)], "where fat is, nobody said");
    let truth = set.truth(&set.pictures[0], &[ClassId(2), ClassId(13)]).unwrap().unwrap();
    assert_eq!(truth.ids, [2, 2, 13, IGNORE]);
    // Every file is on record, and any other byte is another data set.
    let names: Vec<&str> = set.files.iter().map(|line| line.path.as_str()).collect();
    assert_eq!(names, ["dataset.toml", "images/a.png", "images/b.png", "masks/a.png", "masks/b.png"]);
    grey(&dir.path().join("masks/b.png"), 2, &[0, 0, 0, 2]);
    let other = DataSet::open_with(dir.path(), &mut Sizes).unwrap();
    assert_ne!(other.sha256, set.sha256);
    assert_eq!(other.files.iter().zip(&set.files).filter(|(a, b)| a != b).count(), 1);
}

#[test]
fn everything_that_is_wrong_is_named_in_one_go() {
    let dir = set(
        "[subgroups]\n'patient 1' = ['a.png', 'c.png', 'gone.png']\n'patient 2' = ['a.png']\n'patient 4' = ['same.png']\n",
        &[
            ("images/a.png", &[1; 4]),
            ("images/b.png", &[2; 4]),
            ("images/c.png", &[3; 4]),
            ("images/same.png", &[3; 4]),
            ("images/size.png", &[4; 4]),
            ("images/broken.png", &[5; 4]),
            ("images/alone.png", &[6; 4]),
            ("images/twice.png", &[7; 4]),
            ("masks/a.png", &[0, 7, 9, 0]),
            ("masks/c.png", &[0; 4]),
            ("masks/same.png", &[0; 4]),
            ("masks/size.png", &[0; 6]),
            ("masks/broken.png", &[0; 4]),
            ("masks/orphan.png", &[0; 4]),
            ("masks.anna/alone.png", &[0; 4]),
            ("masks.anna/nobody.png", &[0; 4]),
        ],
    );
    std::fs::write(dir.path().join("images/broken.png"), b"\x89PNG\r\n\x1a\nthat is all").unwrap();
    std::fs::write(dir.path().join("images/twice.jpg"), b"another").unwrap();
    std::fs::create_dir(dir.path().join("tracks")).unwrap();
    std::fs::write(dir.path().join("tracks/clip.jsonl"), "{\"frame\": 0, \"tracks\": []}\n{\"image\": \"z.png\", \"tracks\": []}\n")
        .unwrap();
    let said = faults_of(dir.path());
    for wanted in [
        "images/b.png has no mask",
        "images/alone.png has masks of 1 raters: the reference is masks/, or three",
        "masks/a.png: class id 7, 9 is not in [classes]",
        "masks/size.png: 2×3, but its image is 2×2",
        "images/broken.png: ",
        "masks/orphan.png has no image",
        "masks.anna/nobody.png has no image",
        "'patient 1' names gone.png",
        "a.png is of 'patient 1' and of 'patient 2'",
        "images/twice.jpg and images/twice.png have the same name before the dot",
        "is the same file as images/",
        "tracks/clip.jsonl has no clip: clip.mkv",
        "the image z.png, which is not among",
        "repair or remove these files",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in: {said}");
    }
}

#[test]
fn what_several_people_say_together_stands_in_for_a_missing_reference() {
    let good = [2, 2, 2, 0, 0, 0, 0, 0];
    let dir = set(
        "",
        &[
            ("images/a.png", &[9; 8]),
            ("masks.anna/a.png", &good),
            ("masks.ben/a.png", &good),
            ("masks.cleo/a.png", &[2, 0, 0, 0, 0, 0, 0, 21]),
        ],
    );
    let set = DataSet::open_with(dir.path(), &mut Sizes).unwrap();
    assert_eq!(set.raters, ["anna", "ben", "cleo"]);
    assert_eq!(set.truth(&set.pictures[0], &[ClassId(2)]).unwrap().unwrap().ids, good);
    assert_eq!(set.opinions(&set.pictures[0], &[ClassId(2)]).unwrap()[2].1.ids[7], 2);
    assert_eq!(set.files.len(), 5);
}

#[test]
fn things_need_no_mask_and_clips_no_pictures() {
    let dir = set("", &[("images/a.png", &[9; 4])]);
    std::fs::create_dir(dir.path().join("tracks")).unwrap();
    let lines = "{\"image\": \"a.png\", \"tracks\": [{\"class\": \"grasper\", \"box\": [0, 0, 1, 1]}]}\n";
    std::fs::write(dir.path().join("tracks/boxes.jsonl"), lines).unwrap();
    std::fs::write(dir.path().join("tracks/c.jsonl"), "{\"frame\": 0, \"tracks\": []}\n").unwrap();
    std::fs::write(dir.path().join("c.mp4"), "a clip").unwrap();
    let set = DataSet::open_with(dir.path(), &mut Sizes).unwrap();
    assert_eq!((set.pictures[0].things.as_ref().unwrap().len(), set.clips.len(), set.clips[0].name.as_str()), (1, 1, "c.mp4"));
    assert_eq!(set.truth(&set.pictures[0], &[ClassId(2)]).unwrap(), None);
    assert!(set.mask(&set.pictures[0], &[ClassId(2)]).unwrap_err().to_string().contains("images/a.png has no mask"));
    assert_eq!(DataSet::open(dir.path()).unwrap().sha256, set.sha256);
    assert_eq!(set.files.len(), 5);
    std::fs::remove_dir_all(dir.path().join("tracks")).unwrap();
    std::fs::remove_dir_all(dir.path().join("images")).unwrap();
    assert!(faults_of(dir.path()).contains("neither an image nor a clip"));
}

#[test]
fn a_bad_description_is_named() {
    let dir = set("[subgroup]\n", &[]);
    assert!(faults_of(dir.path()).contains("subgroup"));
    std::fs::write(dir.path().join("dataset.toml"), DESCRIPTION.replace("21 =", "255 =")).unwrap();
    assert!(faults_of(dir.path()).contains("'255' is no id of 0 to 254"));
    std::fs::remove_file(dir.path().join("dataset.toml")).unwrap();
    assert!(faults_of(dir.path()).contains("--data names a folder"));
}
