//! "did you mean": the nearest of what is known.

/// Nothing that is known is nearly as long; comparing takes time.
const LONGEST: usize = 100;

/// Returns `, did you mean ...?` where something known is near, else nothing.
pub(crate) fn did_you_mean<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(text, known) {
        Some(known) => format!(", did you mean `{known}`?"),
        None => String::new(),
    }
}

/// Returns what is so near that it was probably meant.
pub(crate) fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > LONGEST {
        return None;
    }
    let lower = text.to_lowercase();
    let most = text.chars().count().clamp(3, 9) / 3;
    known
        .into_iter()
        .map(|known| {
            let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
            (distance, known)
        })
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
