//! The fuzz targets without a fuzzer: the committed corpus, and a few inputs by chance.

#[cfg(feature = "net")]
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sse_tests::fuzz::TARGETS;

#[test]
fn the_committed_corpus_passes() {
    for (name, run) in TARGETS {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "fuzz/corpus/{name} is empty");
        for (path, input) in corpus {
            println!("{}", path.display());
            run(&input);
        }
    }
}

/// It is replayed by every run. What a fuzzer finds goes to the target directory; here is what covers most with least.
#[test]
fn the_corpus_is_small() {
    for (name, _) in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() <= 64, "fuzz/corpus/{name} has {} files", corpus.len());
        for (path, input) in corpus {
            assert!(input.len() <= 1024, "{} has {} bytes", path.display(), input.len());
        }
    }
}

#[test]
fn changed_a_little_it_still_passes() {
    let mut random = 0x5EED_u64;
    let mut below = |end: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % end as u64) as usize
    };
    for (name, run) in TARGETS {
        let corpus = corpus(name);
        for _ in 0..1_000 {
            let (_, one) = &corpus[below(corpus.len())];
            let (_, other) = &corpus[below(corpus.len())];
            let mut input = one[..below(one.len() + 1)].to_vec();
            input.extend(&other[below(other.len() + 1)..]);
            for _ in 0..below(4) {
                if !input.is_empty() {
                    let at = below(input.len());
                    input[at] = [below(256) as u8, b'\r', b'\n', b':', b' ', 0, 0xFF][below(7)];
                }
            }
            println!("{name}: {input:?}");
            run(&input);
        }
    }
}

#[cfg(feature = "net")]
#[test]
fn every_target_is_everywhere() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let bins: BTreeSet<String> = manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")).map(stem).collect();
    assert_eq!(bins, names, "fuzz/Cargo.toml");
    assert_eq!(stems("targets"), names, "fuzz/targets");
    assert_eq!(stems("corpus"), names, "fuzz/corpus");
    for name in names {
        let program = fs::read_to_string(fuzz().join(format!("targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("sse_tests::fuzz::{name}::run(data)")), "fuzz/targets/{name}.rs");
    }
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[cfg(feature = "net")]
fn stems(folder: &str) -> BTreeSet<String> {
    fs::read_dir(fuzz().join(folder)).unwrap().map(|entry| stem(&entry.unwrap().file_name().into_string().unwrap())).collect()
}

#[cfg(feature = "net")]
fn stem(file: &str) -> String {
    file.split('.').next().unwrap_or_default().to_owned()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}
