use super::*;
use crate::source::documents::collect::Limits;
use crate::source::documents::{Document, Wanted};
use crate::source::pattern::Patterns;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::atomic::AtomicBool;
use zip::write::SimpleFileOptions;

/// Paths and contents, and how many entries were left out.
type Unpacked = (Vec<(String, String)>, u64);

/// What unpacking gives.
fn unpacked(bytes: &[u8]) -> Result<Unpacked, SourceError> {
    unpacked_within(bytes, Limits::default(), false)
}

fn unpacked_within(bytes: &[u8], limits: Limits, skip_longer: bool) -> Result<Unpacked, SourceError> {
    let wanted = Wanted {
        files: Patterns::all(),
        folder: String::new(),
        longest: 1 << 20,
        skip_longer,
    };
    let mut found = Vec::new();
    let mut take = |d: Document| {
        found.push((d.path, String::from_utf8_lossy(&d.content).into_owned()));
        Ok(())
    };
    let cancel = AtomicBool::new(false);
    let mut collector = Collector::new(&wanted, &cancel, &mut take);
    collector.limits = limits;
    let packing = Packing::of(&bytes[..bytes.len().min(HEAD)]).expect("an archive");
    unpack("x", bytes, packing, &mut collector)?;
    let left_out = collector.gathered.left_out;
    Ok((found, left_out))
}

/// A tar archive of raw names, as only a hostile one has them.
fn tar_of(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (kind, path, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        if *kind == EntryType::Regular {
            header.set_size(content.len() as u64);
        } else {
            header.set_size(0);
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_cksum();
        let body = if *kind == EntryType::Regular { content } else { "" };
        builder.append(&header, body.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in entries {
        writer.start_file(*path, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

#[test]
fn the_folder_around_everything_is_no_part_of_the_paths() {
    let file = EntryType::Regular;
    let tar = tar_of(&[(file, "repo-1f2e/a.json", "A"), (file, "repo-1f2e/b/c.json", "C")]);
    let want = pairs(&[("a.json", "A"), ("b/c.json", "C")]);
    assert_eq!(unpacked(&tar).unwrap().0, want);
    assert_eq!(unpacked(&gzip(&tar)).unwrap().0, want);
    let zip = zip_of(&[("repo/a.json", b"A"), ("repo/b/c.json", b"C")]);
    assert_eq!(unpacked(&zip).unwrap().0, want);
    let flat = tar_of(&[
        (file, "./a.json", "A"),
        (file, "b/c.json", "C"),
        (file, "b/.hidden", "H"),
    ]);
    assert_eq!(unpacked(&flat).unwrap().0, want);
    assert_eq!(unpacked(&gzip(b"{}")).unwrap().0, pairs(&[("x", "{}")]));
}

#[test]
fn what_leads_out_is_refused() {
    let file = EntryType::Regular;
    for hostile in [
        tar_of(&[(file, "ok", "1"), (file, "../evil", "2")]),
        tar_of(&[(file, "/etc/passwd", "2")]),
        tar_of(&[(file, "a/../../evil", "2")]),
        tar_of(&[(EntryType::Symlink, "a/link", "../../etc/passwd")]),
        tar_of(&[(EntryType::Symlink, "link", "/etc/passwd")]),
        tar_of(&[(EntryType::Link, "link", "../etc/passwd")]),
        zip_of(&[("../evil", b"2")]),
        zip_of(&[("a\\..\\..\\evil", b"2")]),
    ] {
        let e = unpacked(&hostile).unwrap_err();
        assert!(e.message.contains("leads out of it") && e.is_permanent(), "{e}");
    }
}

#[test]
fn links_within_are_left_out() {
    let tar = tar_of(&[
        (EntryType::Regular, "a/b", "B"),
        (EntryType::Symlink, "a/c", "b"),
        (EntryType::Link, "d", "a/b"),
    ]);
    assert_eq!(unpacked(&tar).unwrap(), (pairs(&[("b", "B")]), 2));
}

#[test]
fn bombs_end_in_an_error() {
    let zeros = vec![0u8; 8 << 20];
    let e = unpacked(&zip_of(&[("bomb", &zeros)])).unwrap_err();
    assert!(e.message.contains("longer than"), "{e}");
    let e = unpacked(&gzip(&zeros[..])).unwrap_err();
    assert!(e.message.contains("longer than"), "{e}");
    // All of them together, also where each is left out for its length.
    let limits = Limits {
        bytes: 2 << 20,
        ..Limits::default()
    };
    let bombs = zip_of(&[("a", &zeros), ("b", &zeros)]);
    let text = String::from_utf8(vec![b' '; 1 << 20]).unwrap();
    let file = EntryType::Regular;
    let texts = gzip(&tar_of(&[(file, "a", &text), (file, "b", &text), (file, "c", &text)]));
    for skip_longer in [false, true] {
        let e = unpacked_within(&texts, limits, skip_longer).unwrap_err();
        assert!(e.message.contains("more than 2 MB") && e.hint.is_some(), "{e}");
    }
    let e = unpacked_within(&bombs, limits, true).unwrap_err();
    assert!(e.message.contains("more than 2 MB") && e.hint.is_some(), "{e}");
    assert_eq!(unpacked_within(&bombs, Limits::default(), true).unwrap().1, 2);
}

#[test]
fn entries_are_counted_whatever_they_are() {
    let limits = Limits {
        entries: 2,
        ..Limits::default()
    };
    let (file, link) = (EntryType::Regular, EntryType::Symlink);
    let within = tar_of(&[(file, "a", "1"), (link, "b", "a")]);
    assert!(unpacked_within(&within, limits, false).is_ok());
    for many in [
        tar_of(&[(file, "a", "1"), (link, "b", "a"), (link, "c", "a")]),
        zip_of(&[("a", b"1"), ("b", b"2"), ("c", b"3")]),
    ] {
        let e = unpacked_within(&many, limits, true).unwrap_err();
        assert!(e.message.contains("more than 2 entries") && e.hint.is_some(), "{e}");
    }
}

#[test]
fn what_is_cut_off_is_refused_wherever() {
    let file = EntryType::Regular;
    let tar = tar_of(&[(file, "a", "A"), (file, "b", "B")]);
    // Behind that, only a part of the end mark is missing.
    for cut in (HEAD..=tar.len() - TAR_END).step_by(256) {
        assert!(unpacked(&tar[..cut]).is_err(), "tar at {cut}");
    }
    let packed = gzip(&tar);
    for cut in 20..packed.len() {
        assert!(unpacked(&packed[..cut]).is_err(), "tar.gz at {cut}");
    }
    let zip = zip_of(&[("a", b"A"), ("b", b"B")]);
    for cut in 4..zip.len() {
        assert!(unpacked(&zip[..cut]).is_err(), "zip at {cut}");
    }
    let mut changed = zip_of(&[("a", b"content that is long enough")]);
    changed[40] ^= 1;
    assert!(unpacked(&changed).is_err());
}

#[test]
fn a_path_twice_is_refused() {
    let tar = tar_of(&[(EntryType::Regular, "a", "1"), (EntryType::Regular, "./a", "2")]);
    assert!(unpacked(&tar).unwrap_err().message.contains("twice"));
}
