use super::*;

/// The same function by another way: for whole numbers it is a binomial tail.
fn below_by_sum(a: u32, b: u32, x: f64) -> f64 {
    let trials = a + b - 1;
    let mut sum = 0.0;
    for successes in a..=trials {
        let mut ln_term = f64::from(successes) * x.ln() + f64::from(trials - successes) * (1.0 - x).ln();
        for step in 1..=successes {
            ln_term += (f64::from(trials - successes + step) / f64::from(step)).ln();
        }
        sum += ln_term.exp();
    }
    sum
}

/// Made with mpmath at 30 digits.
#[test]
fn it_agrees_with_published_arithmetic() {
    for (a, b, x, expected) in [
        (1.0, 1.0, 0.3, 0.3),
        (2.0, 3.0, 0.4, 0.5248),
        (29.0, 1.0, 0.9, 0.047_101_286_972_462_45),
        (59.0, 2.0, 0.95, 0.191_553_374_735_221_8),
        (981.0, 21.0, 0.97, 0.032_894_716_211_437_8),
        (10_001.0, 201.0, 0.98, 0.405_828_433_227_781),
        (1.0, 40.0, 0.02, 0.554_299_596_049_049),
        (500.0, 500.0, 0.51, 0.736_424_391_643_414_5),
    ] {
        let found = below(a, b, x);
        assert!((found - expected).abs() < 1e-10, "Beta({a}, {b}) below {x}: {found} instead of {expected}");
    }
}

#[test]
fn it_agrees_with_the_binomial_tail() {
    let mut compared = 0;
    for a in [1, 2, 3, 7, 20, 61, 150] {
        for b in [1, 2, 4, 9, 30, 120] {
            for x in [0.001, 0.05, 0.3, 0.5, 0.77, 0.95, 0.999] {
                let (found, expected) = (below(f64::from(a), f64::from(b), x), below_by_sum(a, b, x));
                assert!((found - expected).abs() < 1e-11, "Beta({a}, {b}) below {x}: {found} and {expected}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 294);
}

/// Made with mpmath at 30 digits, in millionths, rounded down.
#[test]
fn quantiles_agree_with_published_arithmetic() {
    for (successes, failures, probability, expected) in [
        (0, 0, 0.05, 50_000),
        (28, 0, 0.05, 901_855),
        (27, 0, 0.05, 898_534),
        (58, 1, 0.05, 923_360),
        (60, 40, 0.05, 517_438),
        (980, 20, 0.05, 971_098),
        (98, 2, 0.01, 919_368),
        (19, 1, 0.5, 921_356),
        (0, 30, 0.05, 1_653),
        (99_800, 200, 0.05, 997_751),
    ] {
        let found = quantile(f64::from(successes + 1), f64::from(failures + 1), probability).as_millionths();
        // Where the quantile is a whole millionth, the last digit of the arithmetic decides.
        assert!(
            u32::abs_diff(found, expected) <= u32::from(successes + failures == 0),
            "{successes}, {failures}: {found}"
        );
    }
}

#[test]
fn quantile_and_distribution_are_each_others_inverse() {
    for (a, b) in [(1.0, 1.0), (4.0, 2.0), (29.0, 1.0), (1.0, 50.0), (300.0, 12.0), (50_000.0, 3.0)] {
        let mut last = 0;
        for percent in 1..100 {
            let probability = f64::from(percent) / 100.0;
            let share = quantile(a, b, probability).as_millionths();
            assert!(share >= last, "the quantiles of Beta({a}, {b}) fall at {percent} %");
            assert!(below(a, b, Share::millionths(share).as_f64()) <= probability);
            assert!(share == Share::WHOLE - 1 || below(a, b, Share::millionths(share + 1).as_f64()) > probability);
            last = share;
        }
    }
}

#[test]
fn the_ends_are_the_ends() {
    assert!(below(3.0, 4.0, 0.0).abs() < f64::EPSILON && (below(3.0, 4.0, 1.0) - 1.0).abs() < f64::EPSILON);
    let huge = f64::from(u32::MAX) + 1.0;
    let share = quantile(huge, huge, 0.5).as_millionths();
    assert!((499_990..=500_010).contains(&share), "{share}");
}
