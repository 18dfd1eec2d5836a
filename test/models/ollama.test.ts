import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { importModel } from '../../src/models/index.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-ollama-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const model = writeGguf(tinyLlama())
const sha256 = createHash('sha256').update(model).digest('hex')
const LIBRARY = ['registry.ollama.ai', 'library']

interface Layer {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

let at: SourceHome
let folder: string
let count = 0

beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count}`))
  folder = join(base, `user-${count++}`, '.ollama', 'models')
  mkdirSync(join(folder, 'blobs'), { recursive: true })
  writeFileSync(blob(), model)
  at.needs = { ...at.needs, environment: { HOME: dirname(dirname(folder)) } }
})
afterEach(() => at.server.close())

function blob(): string {
  return join(folder, 'blobs', `sha256-${sha256}`)
}

function layer(kind = 'model', digest = `sha256:${sha256}`, size = model.length): Layer {
  return { mediaType: `application/vnd.ollama.image.${kind}`, digest, size }
}

/** Writes a manifest: a list of layers, or a text as it is. */
function pull(path: readonly string[], content: readonly Layer[] | string = [layer()]): void {
  const file = join(folder, 'manifests', ...path)
  mkdirSync(dirname(file), { recursive: true })
  const config = layer('config', `sha256:${'1'.repeat(64)}`, 9)
  writeFileSync(
    file,
    typeof content === 'string' ? content : JSON.stringify({ schemaVersion: 2, config, layers: content }),
  )
}

describe('ollama:', () => {
  it('takes the model under its own name, from the folder of the user', async () => {
    pull([...LIBRARY, 'tiny', 'latest'], [layer('license', `sha256:${'2'.repeat(64)}`, 1), layer()])
    const tasks = new Set<string>()
    const manifest = await importModel(at.needs, { source: 'ollama:tiny' }, ({ task }) => tasks.add(task))
    expect(manifest).toMatchObject({ model: 'tiny', source: 'ollama:tiny' })
    expect([...tasks]).toEqual(['verifying ollama:tiny', 'importing tiny'])
    // The file is ollama's: it stays.
    expect(readFileSync(blob()).equals(model)).toBe(true)
    expect(await at.attempt('ollama:tiny')).toBe('imported')
  })

  it.each([
    ['ollama:tiny:1b-Q4_0', [...LIBRARY, 'tiny', '1b-Q4_0'], 'tiny:1b-q4_0'],
    ['ollama:somebody/tiny', ['registry.ollama.ai', 'somebody', 'tiny', 'latest'], 'tiny'],
    ['ollama:hub.example:5000/a/b:c', ['hub.example:5000', 'a', 'b', 'c'], 'b:c'],
  ])('%s', async (source, path, name) => {
    pull(path)
    expect((await importModel(at.needs, { source })).model).toBe(name)
  })

  it('looks where OLLAMA_MODELS says, and where the source says, and puts no folder into the manifest', async () => {
    pull([...LIBRARY, 'tiny', 'latest'])
    at.needs = { ...at.needs, environment: { HOME: '/nonexistent', OLLAMA_MODELS: folder } }
    expect(await at.attempt('ollama:tiny')).toBe('imported')
    at.needs = { ...at.needs, environment: { HOME: '/nonexistent' } }
    const manifest = await importModel(at.needs, { source: `ollama:tiny@${folder}` })
    expect(manifest.source).toBe('ollama:tiny')
  })

  it('takes the folder by its path where it has one model, and lists several', async () => {
    pull([...LIBRARY, 'tiny', 'latest'])
    expect((await importModel(at.needs, { source: folder })).model).toBe('tiny')
    pull([...LIBRARY, 'other', '7b'])
    expect(await at.attempt(folder)).toMatchObject({
      code: 'WEFT-MOD-004',
      message: expect.stringContaining(`2 models: other:7b, tiny; name one: ollama:other:7b@${folder}`) as string,
    })
  })

  it('says which models there are', async () => {
    expect(await at.attempt('ollama:tiny')).toMatchObject({
      code: 'WEFT-MOD-004',
      message: expect.stringContaining('no model of ollama is there') as string,
    })
    pull([...LIBRARY, 'other', '7b'])
    pull(['hf.co', 'a', 'b', 'latest'])
    expect(await at.attempt('ollama:tiny')).toMatchObject({
      message: expect.stringContaining('there are hf.co/a/b, other:7b') as string,
    })
  })

  it('verifies the file, and removes it not', async () => {
    pull([...LIBRARY, 'tiny', 'latest'])
    const bent = Uint8Array.from(model)
    bent[bent.length - 1]! ^= 1
    writeFileSync(blob(), bent)
    expect(await at.attempt('ollama:tiny')).toMatchObject({ code: 'WEFT-MOD-011' })
    writeFileSync(blob(), model.subarray(0, 1000))
    expect(await at.attempt('ollama:tiny')).toMatchObject({ code: 'WEFT-MOD-011' })
    expect(readFileSync(blob())).toHaveLength(1000)
    rmSync(blob())
    expect(await at.attempt('ollama:tiny')).toMatchObject({
      code: 'WEFT-MOD-004',
      message: expect.stringContaining('ollama pull tiny') as string,
    })
  })

  it.each([
    'ollama:',
    'ollama:..',
    'ollama:../../etc/passwd',
    'ollama:a/../b',
    'ollama:/etc/passwd',
    'ollama:a:b:c',
    'ollama:a:../../x',
    'ollama:a/b/c/d',
    'ollama:a\\b',
    'ollama:.hidden',
    'ollama:a\u001B[2J',
    'ollama:a@models',
    'ollama:a@../models',
  ])('%j is no name', async (source) => {
    expect(await at.attempt(source)).toMatchObject({ code: 'WEFT-MOD-009' })
  })

  it.each([
    ['a digest that climbs', [layer('model', 'sha256:../../../../etc/passwd')], 'WEFT-MOD-002'],
    ['a digest of another kind', [layer('model', `md5:${'0'.repeat(32)}`)], 'WEFT-MOD-002'],
    ['no JSON', '{', 'WEFT-MOD-002'],
    ['no manifest', '[]', 'WEFT-MOD-002'],
    ['a text of half a megabyte', ' '.repeat(1 << 19), 'WEFT-MOD-002'],
    ['no model', [layer('license')], 'WEFT-MOD-003'],
    ['two models', [layer(), layer()], 'WEFT-MOD-003'],
    ['an adapter', [layer(), layer('adapter')], 'WEFT-MOD-003'],
    ['a size that lies', [layer('model', undefined, 7)], 'WEFT-MOD-011'],
  ])('refuses a manifest with %s', async (_, content, code) => {
    pull([...LIBRARY, 'tiny', 'latest'], content)
    expect(await at.attempt('ollama:tiny')).toMatchObject({ code })
    expect(at.downloads()).toEqual([])
  })

  it('refuses a folder in place of a manifest', async () => {
    mkdirSync(join(folder, 'manifests', ...LIBRARY, 'tiny', 'latest'), { recursive: true })
    expect(await at.attempt('ollama:tiny')).toMatchObject({ code: 'WEFT-MOD-004' })
  })

  it('goes where links lead, and believes the SHA-256 alone', async () => {
    pull([...LIBRARY, 'tiny', 'latest'])
    const elsewhere = join(base, `elsewhere-${count}`)
    writeFileSync(elsewhere, model)
    rmSync(blob())
    symlinkSync(elsewhere, blob())
    expect(await at.attempt('ollama:tiny')).toBe('imported')
    writeFileSync(elsewhere, 'a secret')
    expect(await at.attempt('ollama:tiny')).toMatchObject({ code: 'WEFT-MOD-011' })
  })

  it('leaves the projector of a model that sees out, and says so', async () => {
    pull([...LIBRARY, 'tiny', 'latest'], [layer(), layer('projector', `sha256:${'3'.repeat(64)}`)])
    expect(await at.attempt('ollama:tiny')).toBe('imported')
    expect(at.lines).toEqual(['the projector of ollama:tiny is left out: weft runs its text model'])
  })
})
