import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCatalogue, importModel } from '../../src/models/index.ts'
import type { ModelManifest } from '../../src/models/index.ts'
import { serveBytes } from './support/file-server.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-catalogued-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const model = writeGguf(tinyLlama())
const sha256 = createHash('sha256').update(model).digest('hex')

let at: SourceHome
let count = 0

beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count++}`))
})
afterEach(() => at.server.close())

describe('a model of the catalogue', () => {
  function catalogue(sources: readonly object[]): void {
    const directory = join(at.home, 'shipped', 'catalogue')
    mkdirSync(directory, { recursive: true })
    const entry = { schema: 'weft.catalogue/1', model: 'tiny:1', license: 'CC0-1.0', about: '', sources }
    writeFileSync(join(directory, 'tiny.json'), JSON.stringify(entry))
    at.needs = { ...at.needs, catalogue: createCatalogue({ directories: [directory] }) }
  }
  const bundle = (bytes: Uint8Array): void => writeFileSync(join(at.home, 'shipped', 'm.gguf'), bytes)

  it('comes from the first source that gives it, and each failure is a line', async () => {
    catalogue([
      { from: `${at.server.url}/gone.gguf` },
      { from: `${at.server.url}/changed.gguf`, sha256 },
      { from: 'bundled:m.gguf', bytes: model.length, sha256 },
    ])
    bundle(model)
    at.server.answer = (request, response) =>
      request.url === '/gone.gguf'
        ? response.writeHead(404).end()
        : serveBytes(model.with(99, 1), '"1"')(request, response)
    const manifest: ModelManifest = await importModel(at.needs, { source: 'tiny:1' })
    expect(manifest).toMatchObject({ model: 'tiny:1', license: 'CC0-1.0', source: 'bundled:m.gguf' })
    expect(at.lines).toHaveLength(2)
    expect(at.lines[0]).toMatch(/gone.gguf: the server answered 404/)
    expect(at.lines[1]).toMatch(/changed.gguf is not the file that was announced/)
    expect(at.lines.join('')).not.toContain('\n')
    expect(existsSync(join(at.home, 'shipped', 'm.gguf'))).toBe(true)
  })

  it('that no source gives names all reasons', async () => {
    catalogue([{ from: `${at.server.url}/a.gguf` }, { from: 'bundled:m.gguf' }])
    const error = await at.attempt('tiny:1')
    expect(error).toMatchObject({
      code: 'WEFT-MOD-010',
      why: expect.stringMatching(/404; .*does not come with/) as string,
    })
  })

  it('is verified also where it is bundled', async () => {
    catalogue([{ from: 'bundled:m.gguf', sha256: 'f'.repeat(64) }])
    bundle(model)
    expect(await at.attempt('tiny:1')).toMatchObject({
      code: 'WEFT-MOD-010',
      why: expect.stringContaining('SHA-256') as string,
    })
    catalogue([{ from: 'bundled:m.gguf', bytes: 7 }])
    expect(await at.attempt('tiny:1')).toMatchObject({ why: expect.stringContaining('7 bytes') as string })
  })

  it('ends within the limit for all sources', async () => {
    catalogue([{ from: `${at.server.url}/slow.gguf` }, { from: 'bundled:m.gguf' }])
    at.needs = { ...at.needs, waitLimit: 20_000 }
    at.server.answer = () => {}
    expect(await at.attempt('tiny:1')).toMatchObject({ why: expect.stringContaining('not done within 20 s') as string })
  })

  it('is known by its name, and a name that is not is said so with those that are', async () => {
    catalogue([{ from: 'bundled:m.gguf' }])
    expect(await at.attempt('tiny:2')).toMatchObject({ code: 'WEFT-MOD-012', why: 'the catalogue has tiny:1' })
    bundle(model)
    expect((await importModel(at.needs, { source: 'tiny:1', name: 'own' })).model).toBe('own')
  })

  it('leaves no folder of an import that was killed', async () => {
    catalogue([{ from: 'bundled:m.gguf' }])
    bundle(model)
    mkdirSync(join(at.needs.downloads, 'fetch-99999999-abc'), { recursive: true })
    mkdirSync(join(at.needs.downloads, `fetch-${process.ppid}-abc`))
    await importModel(at.needs, { source: 'tiny:1' })
    expect(at.downloads()).toEqual([`fetch-${process.ppid}-abc`])
  })
})
