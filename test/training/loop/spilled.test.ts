/** Runs whose examples are larger than their memory: the bits of one that is not, and a disk that becomes full. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { createSeeded } from '../../../src/data/index.ts'
import { BIN, weft } from '../../cli/support.ts'
import { fortranNpy } from '../../data/fortran.ts'
import { zip } from '../../models/support/archives.ts'
import { floats, ints, temporaryFolder, train, writePlan } from './support.ts'
import type { Folder } from './support.ts'

const [ROWS, WIDTH] = [3000, 16]
/** Inputs and labels of all rows. */
const ALL_BYTES = ROWS * (WIDTH * 4 + 8)
const MEMORY = 64 << 10

async function written(folder: Folder, changes: object = {}): Promise<string> {
  const seeded = createSeeded(3, 'spilled')
  const x = Array.from({ length: ROWS * WIDTH }, () => seeded.normal())
  const y = Array.from({ length: ROWS }, (_, row) => (x[row * WIDTH]! + x[row * WIDTH + 1]! > 0 ? 1 : 0))
  const arrays = { x: floats([ROWS, WIDTH], x), y: ints([ROWS], y) }
  const files = Object.entries(arrays).map(([name, tensor]) => ({ name: `${name}.npy`, data: fortranNpy(tensor) }))
  await writeFile(folder.at('x.npz'), zip(files))
  return writePlan(folder, {
    schema: 'weft.train-plan/1',
    task: 'multiclass',
    classes: 2,
    data: { kind: 'npz', path: 'x.npz', input: 'x', target: 'y' },
    split: { share: { test: 0.2, validation: 0.1 } },
    model: { kind: 'mlp', hidden: [8] },
    optimizer: { kind: 'adam', lr: 0.01 },
    epochs: 2,
    batch: 64,
    memory: MEMORY,
    threads: 1,
    checkpoint: { every_steps: 5 },
    metrics: ['accuracy', 'f1', 'ece', 'brier'],
    ...changes,
  })
}

test('inputs and targets beyond memory lie in a file, and each run over them has the bits of the one in memory', async () => {
  await using folder = await temporaryFolder()
  const plan = await written(folder)
  const bits = (run: string): Promise<Buffer> => readFile(folder.at(`${run}/model.onnx`))
  const { result } = await train(folder, plan, { out: folder.at('first') })
  const unpacked = result.rows.unpacked
  expect(result.rows).toEqual({ bytes: ALL_BYTES, spilled: ALL_BYTES, unpacked })
  expect(unpacked).toBeGreaterThan(ALL_BYTES)
  expect(result.metrics.test!.accuracy).toBeGreaterThan(0.9)
  await train(folder, plan, { out: folder.at('second') })
  const controller = new AbortController()
  const stop = (done: number): void => {
    if (done === 17) controller.abort(new Error('enough'))
  }
  const cut = { out: folder.at('cut'), onStep: stop, signal: controller.signal }
  await expect(train(folder, plan, cut)).rejects.toThrow('enough')
  const { resumed } = await train(folder, plan, { out: folder.at('cut'), resume: true })
  expect(resumed).toBe(15)
  const large = await written(folder, { memory: 1 << 28 })
  const inMemory = await train(folder, large, { out: folder.at('large') })
  expect(inMemory.result.rows.spilled).toBe(0)
  expect(inMemory.result.metrics).toEqual(result.metrics)
  const first = await bits('first')
  for (const other of ['second', 'cut', 'large']) expect((await bits(other)).equals(first)).toBe(true)
})

test('a budget that is too small is told with the least that is enough', async () => {
  await using folder = await temporaryFolder()
  const within = async (memory: number): Promise<unknown> =>
    train(folder, await written(folder, { memory, epochs: 1 }), { out: folder.at(String(memory)) })
  const failure: unknown = await within(10_000).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'WEFT-INF-126', details: { budget: 10_000 } })
  const { needed } = (failure as { details: { needed: number } }).details
  await expect(within(needed - 2)).rejects.toMatchObject({ code: 'WEFT-INF-126' })
  await expect(within(needed)).resolves.toMatchObject({ resumed: null })
})

test('a disk that becomes full under them is told by its code, and nothing is left', async () => {
  await using folder = await temporaryFolder()
  const plan = await written(folder)
  const args = ['train', plan, '--out', folder.at('run'), '--quiet']
  const limited = (kilobytes: number): readonly string[] => [
    'bash',
    '-c',
    `ulimit -f ${kilobytes}; exec "$0" "$@"`,
    process.execPath,
    BIN,
  ]
  // Where arrays are unpacked, and where rows are spilled.
  for (const kilobytes of [100, Math.ceil((ROWS * WIDTH * 4) / 1024) + 4]) {
    const { status, stderr } = await weft(args, { command: limited(kilobytes) })
    expect(stderr).toMatch(/no room for \d+ bytes at .*WEFT-STO-007/)
    expect(status).toBe(6)
    expect(await readdir(folder.path)).not.toContain('run')
  }
})
