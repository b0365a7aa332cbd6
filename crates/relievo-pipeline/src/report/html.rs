//! `report/index.html`: one self-contained page.

use super::{PhotoRow, Report};
use relievo_task::Warning;
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--good:#2a8a4a;--bad:#c0392b}
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{margin-bottom:.2rem}h2{margin-top:2.2rem;border-bottom:1px solid var(--line)}
.lead{font-size:1.1rem}.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:.8rem}
.pictures figure{margin:0}.pictures img,.map svg{width:100%;border:1px solid var(--line);border-radius:6px;background:#fff}
.map svg{max-width:40rem;display:block;margin:auto}
table{border-collapse:collapse;width:100%}td,th{padding:.25rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.good{color:var(--good)}.bad{color:var(--bad);font-weight:600}
.warn{background:var(--soft);border-left:4px solid #d39e00;padding:.5rem .8rem;margin:.5rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}dt{opacity:.7}dd{margin:0}";

/// The page.
pub fn render(report: &Report) -> String {
    let mut page = String::with_capacity(1 << 16);
    let title = escape(&report.title);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} – Relievo</title>\
         <style>{STYLE}</style></head><body><h1>{title}</h1><p class=\"lead\">{}</p>",
        escape(&report.summary())
    );
    if let Some(stopped) = &report.stopped {
        page.push_str("<h2>Why it stopped</h2>");
        warning(&mut page, stopped);
    }
    if !report.pictures.is_empty() {
        page.push_str("<div class=\"pictures\">");
        for (caption, data) in &report.pictures {
            let caption = escape(caption);
            let _ = write!(
                page,
                "<figure><img alt=\"{caption}\" src=\"data:image/jpeg;base64,{data}\">\
                 <figcaption>{caption}</figcaption></figure>"
            );
        }
        page.push_str("</div>");
    }
    warnings(&mut page, report);
    figures(&mut page, report);
    if !report.camera_map.is_empty() {
        let _ = write!(
            page,
            "<h2>Where the photos were taken</h2>\
             <p>From above: a triangle per photo points where it looks, dots are points of the \
             model.</p><div class=\"map\">{}</div>",
            report.camera_map
        );
    }
    stages(&mut page, report);
    photos(&mut page, &report.photos);
    page.push_str("</body></html>\n");
    page
}

fn warnings(page: &mut String, report: &Report) {
    if report.warnings.is_empty() {
        return;
    }
    page.push_str("<h2>Worth knowing</h2>");
    for w in &report.warnings {
        warning(page, w);
    }
}

fn warning(page: &mut String, w: &Warning) {
    let subject = if w.subject.is_empty() {
        String::new()
    } else {
        format!("<b>{}</b>: ", escape(&w.subject))
    };
    let hint = if w.hint.is_empty() {
        String::new()
    } else {
        format!(" <i>{}</i>", escape(&w.hint))
    };
    let _ = write!(
        page,
        "<div class=\"warn\">{subject}{}{hint}</div>",
        escape(&w.message)
    );
}

fn figures(page: &mut String, report: &Report) {
    if report.figures.is_empty() {
        return;
    }
    page.push_str("<h2>Figures</h2><dl>");
    for (name, value) in &report.figures {
        let _ = write!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    page.push_str("</dl>");
}

fn stages(page: &mut String, report: &Report) {
    if report.stages.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Time by stage</h2><table><tr><th>stage</th><th class=\"n\">wall s</th>\
         <th class=\"n\">CPU s</th><th class=\"n\">peak MiB</th><th>figures</th></tr>",
    );
    for s in &report.stages {
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{:.1}</td><td class=\"n\">{:.1}</td>\
             <td class=\"n\">{:.0}</td><td>{}</td></tr>",
            escape(&s.name),
            s.wall_s,
            s.cpu_s,
            s.peak_rss_mib,
            escape(&s.figures_text())
        );
    }
    page.push_str("</table>");
}

fn photos(page: &mut String, rows: &[PhotoRow]) {
    page.push_str(
        "<h2>Photos</h2><table><tr><th>photo</th><th>size</th><th class=\"n\">keypoints</th>\
         <th class=\"n\">points seen</th><th class=\"n\">error px</th><th>outcome</th></tr>",
    );
    for row in rows {
        let class = match row.registered {
            Some(true) => "good",
            Some(false) => "bad",
            None => "",
        };
        let number = |n: Option<usize>| n.map_or(String::new(), |n| n.to_string());
        let error = row.error_px.map_or(String::new(), |e| format!("{e:.2}"));
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{error}</td><td class=\"{class}\">{}</td></tr>",
            escape(&row.name),
            escape(&row.size),
            number(row.keypoints),
            number(row.points),
            escape(&row.outcome)
        );
    }
    page.push_str("</table>");
}

/// Text as HTML text or attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_named_like_markup_stays_text() {
        let mut report = Report {
            title: "a<b".into(),
            ..Report::default()
        };
        report.photos.push(PhotoRow {
            name: "<script>x</script>".into(),
            ..PhotoRow::default()
        });
        let page = render(&report);
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"));
        assert!(page.contains("a&lt;b"));
    }

    #[test]
    fn the_refusal_and_its_remedy_come_first() {
        let stopped = Warning::new("stopped", "", "1 photo is too few", "take more");
        let mut report = Report {
            given: 1,
            stopped: Some(stopped),
            ..Report::default()
        };
        report
            .warnings
            .push(Warning::new("photo-soft", "a.jpg", "soft", ""));
        let page = render(&report);
        assert!(page.contains("1 given, 0 taken in, 0 placed in the model.<"));
        let at = |text: &str| page.find(text).unwrap();
        assert!(at("1 photo is too few <i>take more</i>") < at("Worth knowing"));
        assert_eq!(report.to_json()["warnings"][0]["kind"], "stopped");
    }
}
