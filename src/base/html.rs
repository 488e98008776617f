//! What every page needs: words that are shown and never run.

/// Text for HTML and SVG, in elements and in attributes that stand in quotes.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_could_run_is_left() {
        assert_eq!(escaped("<script a=\"b\">&amp;"), "&lt;script a=&quot;b&quot;&gt;&amp;amp;");
    }
}
