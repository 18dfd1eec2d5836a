/** A plan for each task that is neither yes or no (09) nor pictures (10), over data that is made up, so that the truth is known. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSeeded, writeNpz } from '../../src/data/index.ts'

export interface Task {
  readonly plan: Readonly<Record<string, unknown>>
  /** The metric of the test examples, and what it has to reach. */
  readonly metric: string
  readonly holds: (value: number) => boolean
  readonly wanted: string
}

const adam = (lr: number) => ({ optimizer: { kind: 'adam', lr }, batch: 32 })
const split = { every: 5, test: 4 }
const seeded = createSeeded(11, 'tasks')

/** Writes the data, and says what is to be learnt from it. */
export async function makeTasks(folder: string): Promise<Readonly<Record<string, Task>>> {
  await writeFile(join(folder, 'houses.csv'), houses())
  await writeFile(join(folder, 'machines.csv'), machines())
  await writeFile(join(folder, 'ratings.csv'), ratings())
  await writeFile(
    join(folder, 'verses.txt'),
    'one for the money, two for the show, three to get ready, and four to go. '.repeat(60),
  )
  await writeNpz(join(folder, 'curves.npz'), curves())
  const csv = (path: string) => ({ kind: 'csv', path })
  const ids = [
    { column: 'who', ids: true },
    { column: 'what', ids: true },
  ]
  return {
    regression: {
      plan: {
        task: 'regression',
        data: { ...csv('houses.csv'), missing: ['?'] },
        target: { column: 'price' },
        split,
        model: { kind: 'mlp', hidden: [16] },
        loss: { kind: 'huber' },
        ...adam(0.02),
        epochs: 70,
      },
      metric: 'rmse',
      holds: (value) => value < 0.6,
      wanted: 'at most 0.6, of prices whose deviation is about 2',
    },
    survival: {
      plan: {
        task: 'survival',
        data: csv('machines.csv'),
        target: { time: 'hours', event: 'failed' },
        split,
        model: { kind: 'linear' },
        loss: { kind: 'cox', ties: 'breslow' },
        ...adam(0.05),
        batch: 'full',
        epochs: 80,
      },
      metric: 'c-index',
      holds: (value) => value > 0.7,
      wanted: 'above 0.7',
    },
    sequences: {
      plan: {
        task: 'multiclass',
        classes: 2,
        data: { kind: 'npz', path: 'curves.npz', input: 'x', target: 'y' },
        split,
        model: { kind: 'gru', hidden: 12 },
        ...adam(0.02),
        epochs: 12,
      },
      metric: 'accuracy',
      holds: (value) => value > 0.9,
      wanted: 'above 0.9',
    },
    autoencoder: {
      plan: {
        task: 'autoencoder',
        data: { kind: 'npz', path: 'curves.npz', input: 'flat' },
        split,
        model: { kind: 'autoencoder', hidden: [16, 3], activation: 'tanh' },
        ...adam(0.01),
        epochs: 40,
      },
      metric: 'loss',
      holds: (value) => value < 0.15,
      wanted: 'at most 0.15, of curves whose variance is about 0.5',
    },
    ranking: {
      plan: {
        task: 'ranking',
        data: csv('ratings.csv'),
        features: ids,
        split: { share: { test: 0.2 } },
        model: { kind: 'two-towers', factors: 8, hidden: [16] },
        ...adam(0.02),
        epochs: 25,
      },
      metric: 'auc',
      holds: (value) => value > 0.8,
      wanted: 'above 0.8',
    },
    language: {
      plan: {
        task: 'language',
        data: { kind: 'text', path: 'verses.txt', length: 32 },
        split,
        model: { kind: 'decoder', layers: 2, width: 32, heads: 4, kv_heads: 2 },
        ...adam(0.01),
        batch: 16,
        epochs: 30,
      },
      metric: 'perplexity',
      holds: (value) => value < 1.5,
      wanted: 'below 1.5 a byte',
    },
  }
}

function houses(): string {
  const row = (): string => {
    const [size, age] = [80 + 30 * seeded.normal(), 50 * seeded.uniform()]
    const garden = seeded.below(2)
    const price = size / 20 - (age - 25) ** 2 / 250 + garden + 0.2 * seeded.normal()
    return [seeded.below(20) === 0 ? '?' : size.toFixed(1), age.toFixed(1), garden, price.toFixed(3)].join(',')
  }
  return `size,age,garden,price\n${Array.from({ length: 800 }, row).join('\n')}\n`
}

/** Heat doubles the hazard, oil halves it; a third is still running when somebody looked. */
function machines(): string {
  const row = (): string => {
    const [heat, oil] = [seeded.normal(), seeded.normal()]
    const hours = -Math.log(1 - seeded.uniform()) * 100 * Math.exp(-1.2 * heat + 0.8 * oil)
    const seen = 300 * seeded.uniform()
    return [heat.toFixed(3), oil.toFixed(3), Math.ceil(Math.min(hours, seen)), Number(hours <= seen)].join(',')
  }
  return `heat,oil,hours,failed\n${Array.from({ length: 600 }, row).join('\n')}\n`
}

/** People like what is of their kind. */
function ratings(): string {
  const row = (): string => {
    const who = seeded.below(60)
    const kind = seeded.uniform() < 0.95 ? who % 4 : seeded.below(4)
    return `person ${who},thing ${4 * seeded.below(10) + kind}`
  }
  return `who,what\n${Array.from({ length: 2500 }, row).join('\n')}\n`
}

/** Waves that get faster (1) or slower (0), of any phase. */
function curves(): Parameters<typeof writeNpz>[1] {
  const [count, length] = [300, 24]
  const data = new Float32Array(count * length)
  const y = Float32Array.from({ length: count }, () => seeded.below(2))
  for (let at = 0; at < data.length; at++) {
    const [row, time] = [Math.floor(at / length), (at % length) / length]
    data[at] =
      Math.sin(2 + 4 * (y[row] === 1 ? time * time : 2 * time - time * time) * 3 + (row % 3)) + 0.1 * seeded.normal()
  }
  const tensor = (dims: readonly number[], values: Float32Array) => ({ type: 'float32', dims, data: values }) as const
  return new Map([
    ['x', tensor([count, length, 1], data)],
    ['flat', tensor([count, length], data)],
    ['y', tensor([count], y)],
  ])
}
