//! Medians and ranges.

/// The values of some runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values(Vec<f64>);

impl Values {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The value below which `part` of the values are; not a number without values.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1) as f64;
        self.0.get((last * part).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// Of an even number of values, the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let (half, odd) = (self.0.len() / 2, self.0.len() % 2);
        let at = |place: usize| self.0.get(place).copied().unwrap_or(f64::NAN);
        if odd == 1 { at(half) } else { f64::midpoint(at(half.wrapping_sub(1)), at(half)) }
    }

    pub(crate) fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    /// `median (least-most)`.
    pub(crate) fn show(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$}-{:.decimals$})", self.median(), self.quantile(0.0), self.max())
    }
}

#[cfg(test)]
mod tests {
    use super::Values;

    #[test]
    fn medians_and_quantiles() {
        let mut values = Values::default();
        assert!(values.median().is_nan());
        for value in [3.0, 1.0, 2.0] {
            values.add(value);
        }
        assert_eq!((values.median(), values.quantile(0.0), values.max()), (2.0, 1.0, 3.0));
        values.add(4.0);
        assert_eq!(values.median(), 2.5);
    }
}
