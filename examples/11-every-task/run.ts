/** A plan for each kind of task: numbers, times until something happens, sequences, compression, taste, and text. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { check } from '../check.ts'
import { weft } from '../weft.ts'
import type { Trained } from '../weft.ts'
import { makeTasks } from './tasks.ts'

const folder = await mkdtemp(join(tmpdir(), 'weft-example-'))
try {
  const tasks = await makeTasks(folder)
  for (const [name, { plan, metric, holds, wanted }] of Object.entries(tasks)) {
    const path = join(folder, `${name}.json`)
    await writeFile(path, JSON.stringify({ schema: 'weft.train-plan/1', name, seed: 1, ...plan }))
    const { metrics } = weft('train', path, '--out', join(folder, name), '--quiet') as Trained
    const value = metrics.test[metric] ?? NaN
    check(holds(value), `${name}: ${metric} of the test examples ${value.toFixed(3)}, ${wanted}`)
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}
