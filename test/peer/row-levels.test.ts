/** How large rows of a boundary are: what was measured here, what others say, and who does not say it of itself. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Mesh } from '../../src/mesh/index.ts'
import { RowLevels } from '../../src/peer/row-levels.ts'

const DIGEST = 'a'.repeat(64)

let directory: string
let lines: string[]
const open = (): Promise<RowLevels> => RowLevels.open(directory, (line) => void lines.push(line))
const saying = (...said: readonly (readonly [by: string, low: number, high: number])[]): Pick<Mesh, 'levels'> => ({
  levels: (digest) =>
    digest === DIGEST ? said.map(([by, low, high]) => ({ by, levels: { low: [-5, low], high: [-3, high] } })) : [],
})

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-levels-'))
  lines = []
})
afterEach(() => rm(directory, { recursive: true, force: true }))

describe('what rows of a model are measured to be', () => {
  it('is kept in whole doublings, outwards, and read again', async () => {
    await (
      await open()
    ).keep(DIGEST, [
      [-5.3, -3.6],
      [-1.2, 0.4],
    ])
    const again = await open()
    expect(again.own(DIGEST)).toEqual({ low: [-6, -2], high: [-3, 1] })
    expect(again.of(DIGEST, 2, 'other', null)).toEqual({ low: -2, high: 1 })
    expect(again.of(DIGEST, 3, 'other', null)).toBeUndefined()
    expect(again.of('b'.repeat(64), 2, 'other', null)).toBeUndefined()
  })

  it('is nothing where the file is damaged, and the next import writes it anew', async () => {
    await writeFile(join(directory, 'levels.json'), '{"schema": "weft.levels/1", "models": [{}]}')
    const levels = await open()
    expect(lines).toHaveLength(1)
    expect(levels.own(DIGEST)).toBeUndefined()
    await levels.keep(DIGEST, [[0, 1]])
    expect((await open()).own(DIGEST)).toEqual({ low: [0], high: [1] })
  })

  it('is what all have measured together: a narrow word of one accuses nobody', async () => {
    const levels = await open()
    expect(levels.of(DIGEST, 2, 'sender', saying(['one', -2, 1], ['two', 0, 0]))).toEqual({ low: -2, high: 1 })
    await levels.keep(DIGEST, [
      [-5, -3],
      [-1, 4],
    ])
    expect(levels.of(DIGEST, 2, 'sender', saying(['two', 0, 0]))).toEqual({ low: -1, high: 4 })
  })

  it('does not count what the sender says of itself, unless nobody else has measured the model', async () => {
    const levels = await open()
    expect(levels.of(DIGEST, 2, 'sender', saying(['sender', -15, 30], ['one', -2, 1]))).toEqual({ low: -2, high: 1 })
    expect(levels.of(DIGEST, 2, 'sender', saying(['sender', -15, 30]))).toEqual({ low: -15, high: 30 })
    await levels.keep(DIGEST, [
      [-5, -3],
      [-1, 4],
    ])
    expect(levels.of(DIGEST, 2, 'sender', saying(['sender', -15, 30]))).toEqual({ low: -1, high: 4 })
  })
})
