/** Noise to take away again, and how much of it is left. */

/** The sound with white noise of a seed, this many decibels below it. */
export function withNoise(sound: Float32Array, decibels: number): Float32Array {
  const loudness = Math.sqrt(power(sound)) * 10 ** (-decibels / 20)
  let seed = 1
  // A linear congruential generator: twelve even numbers added are nearly a normal one, of variance 1.
  const even = (): number => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
  const normal = (): number => Array.from({ length: 12 }, even).reduce((sum, one) => sum + one, -6)
  return sound.map((sample) => sample + loudness * normal())
}

/** Mean of the squares. */
export function power(sound: Float32Array): number {
  return sound.reduce((sum, sample) => sum + sample * sample, 0) / sound.length
}

/** Decibels of what is like the clean sound over what is not; the loudness of neither matters. */
export function signalToNoise(sound: Float32Array, clean: Float32Array): number {
  const dot = clean.reduce((sum, sample, at) => sum + sample * (sound[at] ?? 0), 0)
  const scale = dot / (power(clean) * clean.length)
  const rest = clean.map((sample, at) => (sound[at] ?? 0) - scale * sample)
  return 10 * Math.log10((scale * scale * power(clean)) / power(rest))
}

export function largestDifference(one: Float32Array, other: Float32Array): number {
  return other.reduce((most, sample, at) => Math.max(most, Math.abs(sample - (one[at] ?? 0))), 0)
}
