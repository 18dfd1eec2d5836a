/** `weft export` and `weft import` of its file: what people and scripts see. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createBlobStore } from '../../src/store/index.ts'
import { importModel } from '../../src/models/index.ts'
import { systemClock } from '../../src/util/index.ts'
import { writeGguf } from '../models/support/gguf-writer.ts'
import { tinyLlama } from '../models/support/tiny-llama.ts'
import { call, json, weft } from './support.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-cli-export-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const home = join(base, 'home')
const file = join(base, 'out', 'mine.weft')

beforeAll(async () => {
  const gguf = join(base, 'mine.gguf')
  writeFileSync(gguf, writeGguf(tinyLlama()))
  mkdirSync(join(base, 'out'))
  await importModel(
    {
      store: await createBlobStore({ directory: join(home, 'store') }),
      clock: systemClock(),
      directory: join(home, 'partitions'),
      downloads: join(home, 'downloads'),
    },
    { source: gguf },
  )
})

describe('weft export', () => {
  it('writes one file that weft import takes in another home, in a child of its own', async () => {
    const { status, stdout } = await call(['export', 'mine', '-o', file, '--home', home, '--json'])
    expect(status).toBe(0)
    const written = json(stdout)
    expect(written).toMatchObject({ schema: 'weft.export/1', model: 'mine', file })
    expect(readFileSync(file)).toHaveLength(written['bytes'] as number)
    const other = join(base, 'other')
    const done = await weft(['import', file, '--home', other, '--json'])
    expect(json(done.stdout)).toMatchObject({ schema: 'weft.model/1', model: 'mine', digest: written['digest'] })
    const again = await weft(['import', file, '--home', other])
    expect(again).toMatchObject({ status: 0 })
    expect(again.stderr).toMatch(/keeping \d+ blobs of mine that were here/)
  })

  it('says what is wrong with a file that is not whole, and keeps nothing of it', async () => {
    const cut = join(base, 'cut.weft')
    await call(['export', 'mine', '-o', cut, '--home', home, '--force'])
    const bytes = readFileSync(cut)
    const third = join(base, 'third')
    writeFileSync(cut, bytes.subarray(0, -2000))
    const { status, stdout, stderr } = await weft(['import', cut, '--home', third])
    expect({ status, stdout }).toEqual({ status: 8, stdout: '' })
    expect(stderr).toMatch(/^error: the bundle is refused: .*is cut: .* +WEFT-MOD-070$/m)
    const left = ['partitions', 'store'].flatMap((folder) =>
      readdirSync(join(third, folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
    )
    expect(left).toEqual([])
  })

  it('asks for -o, for --force, and for a model that is here', async () => {
    expect(await call(['export', 'mine', '--home', home])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('-o FILE') as string,
    })
    const taken = join(base, 'taken')
    writeFileSync(taken, 'x')
    const refused = await call(['export', 'mine', '-o', taken, '--home', home, '--json'])
    expect(refused.status).toBe(2)
    expect(json(refused.stdout)).toMatchObject({ error: { code: 'WEFT-MOD-072' } })
    expect(await call(['export', 'mine', '-o', taken, '--home', home, '--force'])).toMatchObject({ status: 0 })
    const nobody = join(base, 'nobody')
    const unknown = await call(['export', 'nobody:7b', '-o', nobody, '--home', join(base, 'none'), '--json'])
    expect(unknown.status).toBe(4)
    expect(json(unknown.stdout)).toMatchObject({ error: { code: 'WEFT-MOD-050' } })
    expect([existsSync(nobody), existsSync(join(base, 'none'))]).toEqual([false, false])
  })
})
