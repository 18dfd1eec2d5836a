/** What the columns of some rows are like, before any model. */
import { RunningStatistics } from '../../data/index.ts'
import type { Examples } from '../../training/index.ts'
import type { ColumnMoments } from './statistics.ts'

/** Of the raw columns of the rows for training. */
export async function momentsOf({ parts, features = [], input }: Examples): Promise<ColumnMoments[]> {
  const { rows, index } = parts.train
  const x = (await rows.take(index))[input.name]!.data as Float32Array
  return features.flatMap(({ kind, column }, at) => {
    if (kind !== 'standard' && kind !== 'raw') return []
    const running = new RunningStatistics()
    for (let row = at; row < x.length; row += features.length) {
      const value = x[row]!
      if (!Number.isNaN(value)) running.add(value)
    }
    const { count, mean, squares } = running.result()
    return [{ column, count, mean, squares }]
  })
}
