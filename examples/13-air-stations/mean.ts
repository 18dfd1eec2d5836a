/** A mean over sites with its 95 % interval (Student's t). Sites that share their weather are less apart than it takes them for. */
const T = [0, 12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18]

export interface Mean {
  readonly mean: number
  readonly half: number
  readonly text: string
}

export function meanOf(values: readonly number[]): Mean {
  const count = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  const spread = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, count - 1)
  const half = (T[count - 1] ?? 1.96) * Math.sqrt(spread / count)
  return { mean, half, text: `${mean.toFixed(4)} [${(mean - half).toFixed(4)}, ${(mean + half).toFixed(4)}]` }
}

/** Of a difference where more is better. */
export function verdict({ mean, half }: Mean): string {
  if (Math.abs(mean) <= half) return 'nobody can tell them apart'
  return mean > 0 ? 'better' : 'worse'
}
