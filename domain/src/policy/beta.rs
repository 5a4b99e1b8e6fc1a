//! The Beta distribution, as far as the policy needs it: how much of it lies below a share, and the share that so much
//! of it lies below. In plain floating point, judged to a millionth: see the tests for how it is known to be right.

use super::quantities::Share;

/// How many steps the continued fraction may take. It needs about the square root of the larger parameter.
const STEPS_MAX: u32 = 200_000;
/// Below this, a change to the continued fraction is none.
const PRECISION: f64 = 1e-15;
/// Stands for zero where a zero would be divided by.
const TINY: f64 = 1e-300;

/// The natural logarithm of the gamma function for `x` from 1 on, by Stirling's series.
fn ln_gamma(x: f64) -> f64 {
    // The series is exact to the last digits from about 10 on: shift up to there.
    let (mut x, mut shifted) = (x, 1.0_f64);
    while x < 15.0 {
        shifted *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square * (1.0 / 360.0 - square * (1.0 / 1_260.0 - square * (1.0 / 1_680.0 - square * (1.0 / 1_188.0)))));
    let half_ln_two_pi = 0.918_938_533_204_672_8;
    (x - 0.5) * x.ln() - x + half_ln_two_pi + series - shifted.ln()
}

/// How much of Beta(`a`, `b`) lies below `x`: the regularised incomplete beta function, for `a` and `b` from 1 on.
pub(super) fn below(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let ln_front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    // The fraction converges fast below the mean; above it, the other tail is summed.
    if x < (a + 1.0) / (a + b + 2.0) {
        ln_front.exp() * fraction(a, b, x) / a
    } else {
        1.0 - ln_front.exp() * fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut numerator = 1.0;
    let mut denominator = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut sum = denominator;
    for step in 1..=STEPS_MAX {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            denominator = 1.0 / away_from_zero(1.0 + term * denominator);
            numerator = away_from_zero(1.0 + term / numerator);
            change = numerator * denominator;
            sum *= change;
        }
        if (change - 1.0).abs() < PRECISION {
            break;
        }
    }
    sum
}

/// The share that this much of Beta(`a`, `b`) lies below: the largest millionth below which there is no more.
pub(super) fn quantile(a: f64, b: f64, probability: f64) -> Share {
    let (mut low, mut high) = (0, Share::WHOLE);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if below(a, b, Share::millionths(middle).as_f64()) <= probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    Share::millionths(low)
}

#[cfg(test)]
mod tests;
