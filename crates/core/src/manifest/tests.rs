//! Bad manifests, and what is said of them.

use super::*;

const MODEL: &str = "[[model]]\nname = \"m\"\ndims = 8\nmax_tokens = 16\npooling = \"mean\"\n";
const PIXELS: &str =
    "[model.preprocessing]\nresample = \"bicubic\"\nrescale = false\nnormalize = false\n";
const FILE: &str = "[[model.variants.fp32.files]]\nrole = \"model\"\npath = \"model.onnx\"\n";

#[test]
fn bad_manifests_name_the_path_and_the_rule() {
    let hash = "a".repeat(64);
    let build = |sha256: &str| {
        format!("builds = [{{ origin = \"hub\", sha256 = \"{sha256}\", size = 1 }}]\n")
    };
    let cases = [
        (
            "unknown key",
            format!("{MODEL}pool = 1"),
            "manifest: model[0].pool: unknown field `pool`",
        ),
        (
            "wrong type",
            MODEL.replace("16", "\"16\""),
            "manifest: model[0].max_tokens: invalid type",
        ),
        (
            "image without preprocessing",
            format!("{MODEL}kind = \"image\""),
            "manifest: model[0]: preprocessing: a model of images needs it",
        ),
        (
            "image with tokens",
            format!("{MODEL}kind = \"image\"\n{PIXELS}"),
            "manifest: model[0]: max_tokens: 16 is given, and a model of images",
        ),
        (
            "text with preprocessing",
            format!("{MODEL}{PIXELS}"),
            "manifest: model[0]: preprocessing: only a model of images has it",
        ),
        (
            "forgotten normalisation",
            format!("{MODEL}{}", PIXELS.replace("normalize = false\n", "")),
            "manifest: model[0].preprocessing: missing field `normalize`",
        ),
        (
            "normalisation by nothing",
            format!("{MODEL}{}", PIXELS.replace("normalize = false", "normalize = true")),
            "manifest: model[0].preprocessing.normalize: expected the step's value, or false",
        ),
        (
            "bad filter",
            format!("{MODEL}{}", PIXELS.replace("bicubic", "cubic")),
            "manifest: model[0].preprocessing.resample: unknown variant `cubic`",
        ),
        (
            "huge crop",
            format!(
                "{}kind = \"image\"\n{PIXELS}center_crop = [9000, 8]",
                MODEL.replace("max_tokens = 16\n", "")
            ),
            "manifest: model[0]: preprocessing: center_crop: 9000 is outside of 1 to 4096 pixels",
        ),
        (
            "no scale",
            format!("{MODEL}logit_scale = 0.0"),
            "manifest: model[0]: logit_scale: 0 is not a positive number",
        ),
        (
            "unknown pooling",
            MODEL.replace("mean", "max"),
            "manifest: model[0].pooling: unknown variant `max`, expected",
        ),
        (
            "missing key",
            MODEL.replace("dims = 8\n", ""),
            "manifest: model[0]: missing field `dims`",
        ),
        (
            "no dims",
            MODEL.replace("= 8", "= 0"),
            "manifest: model[0]: dims: 0 is outside of 1 to 65536",
        ),
        (
            "no tokens",
            MODEL.replace("= 16", "= 0"),
            "manifest: model[0]: max_tokens: 0 is outside of 1 to 32768",
        ),
        (
            "negative",
            MODEL.replace("= 8", "= -8"),
            "manifest: model[0].dims: invalid value: integer `-8`",
        ),
        (
            "wide Matryoshka",
            format!("{MODEL}matryoshka = [9]"),
            "manifest: model[0]: matryoshka: 9 is outside of 1 to 8",
        ),
        (
            "name with a slash",
            MODEL.replace("\"m\"", "\"../m\""),
            "manifest: model[0]: name: \"../m\" must be",
        ),
        ("name taken", format!("{MODEL}{MODEL}"), "manifest: model[1].name: \"m\" is taken"),
        (
            "no such prompt",
            format!("{MODEL}default_prompt = \"q\""),
            "manifest: model[0]: default_prompt: there is no prompt \"q\"",
        ),
        (
            "path that climbs",
            format!("{MODEL}{}{}", FILE.replace("model.onnx", "a/../b"), build(&hash)),
            "manifest: model[0]: variants.fp32.files[0]: path: \"a/../b\" must be",
        ),
        (
            "absolute path",
            format!("{MODEL}{}{}", FILE.replace("model.onnx", "/etc/x"), build(&hash)),
            "manifest: model[0]: variants.fp32.files[0]: path: \"/etc/x\" must be",
        ),
        (
            "short hash",
            format!("{MODEL}{FILE}{}", build("abc")),
            "manifest: model[0]: variants.fp32.files[0]: builds[0].sha256: \"abc\" must be",
        ),
        (
            "no build",
            format!("{MODEL}{FILE}builds = []"),
            "manifest: model[0]: variants.fp32.files[0]: builds: at least one",
        ),
    ];
    let mut failures = Vec::new();
    for (name, toml, expected) in cases {
        match Manifest::from_toml(&toml) {
            Ok(_) => failures.push(format!("{name}: accepted")),
            Err(e) if e.kind() != ErrorKind::InvalidConfig => {
                failures.push(format!("{name}: kind {}", e.kind()));
            }
            Err(e) if !e.to_string().starts_with(expected) => {
                failures.push(format!("{name}: {e}"));
            }
            Err(_) => {}
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Manifest::from_toml(&format!("{MODEL}{FILE}{}", build(&hash))).unwrap();
}

#[test]
fn secrets_of_addresses_stay_out_of_errors_and_debug_output() {
    let secret = "urls = [\"https://m/x?token=SECRET\"]";
    let build = format!(
        "[[model.variants.fp32.files.builds]]\norigin = \"o\"\nsha256 = \"{}\"\nsize = 1\n{secret}",
        "a".repeat(64)
    );
    let manifest = Manifest::from_toml(&format!("{MODEL}{FILE}{build}")).unwrap();
    assert!(!format!("{manifest:?}").contains("SECRET"));
    let error = Manifest::from_toml(&format!("{MODEL}{FILE}{build} oops")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("SECRET"), "{error:?}");
    assert!(error.to_string().starts_with("manifest: line 13: "), "{error}");
}

#[test]
fn unknown_names_list_the_known_ones() {
    let manifest = Manifest::from_toml(MODEL).unwrap();
    let error = manifest.get("n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "no model is named \"n\"; there are: m");
}
