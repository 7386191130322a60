"""What SELU does to the moments of a Gaussian, in closed form and by quadrature."""

from math import erf, erfc, exp, pi, sqrt

from scipy.integrate import quad

# From the fixed point: mean 0 gives alpha, and then variance 1 gives the scale.
ALPHA = -sqrt(2 / pi) / (exp(0.5) * erfc(1 / sqrt(2)) - 1)
SCALE = 1 / sqrt(
    0.5 + ALPHA**2 * (0.5 - exp(0.5) * erfc(1 / sqrt(2)) + 0.5 * exp(2) * erfc(2 / sqrt(2)))
)


def selu(x):
    return SCALE * (x if x > 0 else ALPHA * (exp(x) - 1))


def moments_after(mean, var):
    """Return the mean and variance of selu(z) for z ~ N(mean, var), by quadrature."""
    std = sqrt(var)

    def density(z):
        return exp(-((z - mean) ** 2) / (2 * var)) / (std * sqrt(2 * pi))

    def expectation(function):
        ends = (mean - 12 * std, 0.0), (0.0, mean + 12 * std)
        return sum(quad(lambda z: function(z) * density(z), *end)[0] for end in ends)

    first = expectation(selu)
    return first, expectation(lambda z: (selu(z) - first) ** 2)


def mean_after(mean, var):
    """Return the mean of selu(z) for z ~ N(mean, var), in closed form."""
    ratio = mean / sqrt(2 * var)
    negative = exp(mean + var / 2) * erfc((mean + var) / sqrt(2 * var)) - erfc(ratio)
    positive = mean * (1 + erf(ratio)) + sqrt(2 * var / pi) * exp(-(ratio**2))
    return 0.5 * SCALE * (positive + ALPHA * negative)
