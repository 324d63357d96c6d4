//! Plots: a chart is laid out once as a [`drawing::Drawing`] of lines, areas and words, and written as SVG or PNG.

mod axis;
mod chart;
mod curve;
mod distribution;
mod drawing;
mod face;
mod frame;
mod gauge;
mod png;
mod raster;
mod svg;

pub(crate) use chart::{Chart, charts};
pub(crate) use gauge::gauge;
pub(crate) use png::png;
pub(crate) use svg::{Setting, colors, escape, style, svg};
