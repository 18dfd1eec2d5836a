/** weft split and weft infer under a limit of memory, and what they say of how good a cut is. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeNpz } from '../../src/data/index.ts'
import { crossing, f32, lopsided, write } from '../pipeline/graph/support/models.ts'
import { weft } from './support.ts'

let folder: string
let rows: string
let heavy: string
const at = (name: string): string => join(folder, name)
const run = (...args: readonly string[]): ReturnType<typeof weft> => weft([...args, '--home', at('home')])

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'weft-partition-memory-'))
  rows = await write(folder, 'crossing.onnx', crossing())
  heavy = await write(folder, 'lopsided.onnx', lopsided())
  await writeNpz(
    at('rows.npz'),
    new Map([
      ['x', f32([1, 8])],
      ['late', f32([1, 8], 9)],
    ]),
  )
  await writeNpz(at('heavy.npz'), new Map([['x', f32([1, 1024])]]))
})

afterAll(() => rm(folder, { recursive: true }))

describe('partitions under a limit of memory', () => {
  it('are refused by weft split with the least that is needed, and else told how near the best they are', async () => {
    const refused = await run('split', rows, '--parts', '2', '--memory', '1KiB', '-o', at('none'))
    expect(refused).toMatchObject({ status: 6, stdout: '' })
    expect(refused.stderr).toMatch(/no choice of 2 partitions keeps each under 1024 bytes.*\d+ bytes at best/s)
    const made = await run('split', rows, '--parts', '2', '--memory', '1MiB', '-o', at('two'))
    expect(made.stderr).toMatch(/the split is (the best there is|within \d+\.\d % of the best there is)/)
  })

  it('are refused by weft infer, split or whole', async () => {
    for (const parts of [['--parts', '2'], []]) {
      const arrays = ['--in', at('rows.npz'), '--out', at('out.npz')]
      const refused = await run('infer', rows, ...arrays, ...parts, '--memory', '1KiB')
      expect(refused).toMatchObject({ status: 6, stdout: '', stderr: expect.stringContaining('WEFT-INF-097') })
    }
  })
})

describe('a graph that is better left whole', () => {
  it('is told so by weft split, with the best that can be had', async () => {
    const made = await run('split', heavy, '--parts', '2', '-o', at('heavy'))
    expect(made.status).toBe(0)
    expect(made.stderr).toMatch(/do-not-split: .*\n.*the best that can be had: 2 partitions, cut before block 1;/)
  })

  it('is told so by weft infer', async () => {
    const arrays = ['--in', at('heavy.npz'), '--out', at('heavy-out.npz')]
    const made = await run('infer', heavy, ...arrays, '--parts', '2', '--stats', '--json')
    expect(JSON.parse(made.stdout)).toMatchObject({
      stats: { parts: 1, verdict: 'do-not-split', balance: null, best: { cuts: [1], exact: true } },
    })
    expect(made.stderr).toContain('the best that can be had: 2 partitions')
  })
})
