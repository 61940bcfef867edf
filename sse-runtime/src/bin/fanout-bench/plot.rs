//! The costs as bars, in an SVG that can be read on light and on dark.

use std::fmt::Write as _;

use crate::scenario::Scenario;
use crate::servers::Kind;
use crate::table::{COSTS, Table};

/// A panel for each scenario, a bar for each server.
pub(crate) fn svg(table: &Table<'_>) -> String {
    let panels: Vec<(Scenario, Vec<(Kind, f64)>)> =
        COSTS.into_iter().map(|scenario| (scenario, bars(table, scenario))).filter(|(_, bars)| !bars.is_empty()).collect();
    let heights = panels.iter().map(|(_, bars)| PANEL + bars.len() as f64 * BAR);
    let height = TOP + heights.sum::<f64>() + MARGIN;
    let mut svg = String::new();
    // Writing to a string does not fail.
    let _ = write!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" aria-labelledby="t d" font-family="system-ui, sans-serif" font-size="13">
  <title id="t">What a delivery costs</title>
  <desc id="d">Processor seconds of each server per million deliveries, in each scenario. Shorter is better.</desc>
  <style>
    .page {{ fill: #fbfaf6 }} text {{ fill: #2b2a26 }} .faint {{ fill: #6b675c }} .other {{ fill: #b9b3a2 }} .ours {{ fill: #0f6e5c }} .limit {{ fill: #d08a2c }}
    @media (prefers-color-scheme: dark) {{
      text {{ fill: #eceae3 }} .faint {{ fill: #a9a597 }} .other {{ fill: #6b675c }} .ours {{ fill: #3fb59b }} .limit {{ fill: #d99a45 }}
      .page {{ fill: #1d1c19 }}
    }}
  </style>
  <rect class="page" width="{WIDTH}" height="{height}" rx="12"/>
  <text x="{MARGIN}" y="34" font-size="16" font-weight="600">What a delivery costs</text>
  <text x="{MARGIN}" y="54" class="faint">processor seconds of the server per million deliveries; shorter is better</text>
"#
    );
    let mut y = TOP;
    for (scenario, bars) in panels {
        let _ = writeln!(svg, r#"  <text x="{MARGIN}" y="{:.0}" font-weight="600">{}</text>"#, y + 22.0, describe(scenario));
        y += 32.0;
        let longest = bars.iter().map(|(_, cost)| *cost).fold(f64::MIN_POSITIVE, f64::max);
        for (server, cost) in bars {
            let class = match server {
                Kind::Hub => "ours",
                Kind::Epoll => "limit",
                _ => "other",
            };
            let width = cost / longest * (WIDTH - LABEL - 80.0 - MARGIN);
            let _ = writeln!(
                svg,
                r#"  <text x="{:.0}" y="{:.0}" text-anchor="end">{}</text><rect class="{class}" x="{LABEL}" y="{:.0}" width="{width:.1}" height="{:.0}" rx="3"/><text x="{:.1}" y="{:.0}">{cost:.2}</text>"#,
                LABEL - 8.0,
                y + 14.0,
                server.name(),
                y + 2.0,
                BAR - 6.0,
                LABEL + width + 6.0,
                y + 14.0,
            );
            y += BAR;
        }
        y += PANEL - 32.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn bars(table: &Table<'_>, scenario: Scenario) -> Vec<(Kind, f64)> {
    let cost = |server| table.median(scenario, server, |figures| figures.cpu_seconds_per_million);
    table.servers().into_iter().filter_map(|server| Some((server, cost(server)?))).collect()
}

fn describe(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Bursts => "bursts: 1,000 readers, 16 messages on their way",
        Scenario::Lockstep => "lockstep: 1,000 readers, each message to all before the next",
        Scenario::Unicast => "unicast: 1,000 topics, a reader each, 16 messages on their way",
        Scenario::Flood => "flood: 1,000 readers, publishers wait for answers only",
        Scenario::Latency | Scenario::Beside | Scenario::Idle | Scenario::Stalled => scenario.name(),
    }
}

const WIDTH: f64 = 720.0;
const MARGIN: f64 = 24.0;
const LABEL: f64 = 220.0;
const TOP: f64 = 66.0;
const BAR: f64 = 22.0;
/// Height of a panel beside its bars.
const PANEL: f64 = 46.0;
