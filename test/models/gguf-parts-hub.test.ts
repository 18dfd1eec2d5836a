/** `hf:` of a model that was split into several GGUF files: all of them come, whichever is named. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { importModel } from '../../src/models/index.ts'
import { ggufModels, ggufPartNames } from '../../src/models/sources/gguf-parts.ts'
import { systemClock } from '../../src/util/index.ts'
import { serveBytes } from './support/file-server.ts'
import { dataOf, writeGguf } from './support/gguf-writer.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-gguf-hub-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const TINY = tinyLlama()
const WHOLE = { ...TINY, tensors: TINY.tensors.map((tensor, at) => ({ ...tensor, data: dataOf(tensor, at) })) }
const COUNT = 3
const REVISION = 'c'.repeat(40)
const nameOf = (part: number): string => `q4/tiny-0000${part}-of-0000${COUNT}.gguf`

function partBytes(part: number): Buffer {
  const tensors = WHOLE.tensors.filter((_, index) => index % COUNT === part - 1)
  const keys = [
    { key: 'split.no', type: 'u16', value: part - 1 },
    { key: 'split.count', type: 'u16', value: COUNT },
    { key: 'split.tensors.count', type: 'i32', value: WHOLE.tensors.length },
  ] as const
  return Buffer.from(writeGguf({ ...WHOLE, tensors, keys: [...(part === 1 ? WHOLE.keys : []), ...keys] }))
}

let at: SourceHome
let files: Map<string, Buffer>
let lists: boolean
const asked: string[] = []
let count = 0

beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count++}`))
  // Nothing here has to wait for a server that is silent, and a busy machine may be.
  at.needs = { ...at.needs, clock: systemClock() }
  files = new Map([1, 2, 3].map((part) => [nameOf(part), partBytes(part)]))
  lists = true
  asked.length = 0
  at.server.answer = (request, response) => {
    const path = request.url!.split('?')[0]!
    const name = path.replace(/^\/owner\/Tiny\/resolve\/[^/]+\//, '')
    const bytes = files.get(name)
    if (path === '/api/models/owner/Tiny' && lists) response.end(JSON.stringify(listing()))
    else if (bytes === undefined) response.writeHead(404).end()
    else {
      if (request.method === 'GET') asked.push(name)
      serveBytes(bytes, `"${name}"`)(request, response)
    }
  }
})
afterEach(() => at.server.close())

function listing(): object {
  const siblings = [...files].map(([rfilename, bytes]) => {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    return { rfilename, size: bytes.length, lfs: { sha256, size: bytes.length } }
  })
  return { sha: REVISION, tags: ['license:mit'], siblings }
}

describe('a model in several GGUF files', () => {
  it.each([
    ['the first of them', `:${nameOf(1)}`],
    ['another one of them', `:${nameOf(2)}`],
    ['the repository alone', ''],
  ])('comes whole where %s is named', async (_, named) => {
    const manifest = await importModel(at.needs, { source: `hf:owner/Tiny${named}` }, () => undefined)
    expect(manifest).toMatchObject({ license: 'mit', source: `hf:owner/Tiny${named}` })
    expect(manifest.model).not.toMatch(/of-0000/)
    expect(asked).toEqual([nameOf(1), nameOf(2), nameOf(3)])
    expect(at.downloads()).toEqual([])
  })

  it('is the same as in one file', async () => {
    const parts = await importModel(at.needs, { source: `hf:owner/Tiny:${nameOf(1)}` }, () => undefined)
    files = new Map([['tiny.gguf', Buffer.from(writeGguf(WHOLE))]])
    const whole = await importModel(at.needs, { source: 'hf:owner/Tiny:tiny.gguf' }, () => undefined)
    expect(parts.digest).toBe(whole.digest)
  })

  it('comes of a hub that lists nothing, by the names that there must be', async () => {
    lists = false
    expect(await at.attempt(`hf:owner/Tiny:${nameOf(1)}`)).toBe('imported')
    expect(asked).toEqual([nameOf(1), nameOf(2), nameOf(3)])
  })

  it('goes on in the file that broke off, and fetches none of the others again', async () => {
    const answer = at.server.answer
    const controller = new AbortController()
    at.server.answer = (request, response) => {
      if (!request.url!.endsWith(nameOf(2)) || request.method !== 'GET') return answer(request, response)
      response.writeHead(200, { 'content-length': files.get(nameOf(2))!.length, etag: `"${nameOf(2)}"` })
      response.write(files.get(nameOf(2))!.subarray(0, 500), () =>
        setTimeout(() => controller.abort(new Error('stopped')), 50),
      )
    }
    expect(await at.attempt('hf:owner/Tiny', controller.signal)).toMatchObject({ message: 'stopped' })
    at.server.answer = answer
    at.server.ranges.length = 0
    asked.length = 0
    expect(await at.attempt('hf:owner/Tiny')).toBe('imported')
    expect(asked).toEqual([nameOf(2), nameOf(3)])
    expect(at.server.ranges).toContain('bytes=500-')
  })

  it('of which the repository lacks one is refused before anything comes', async () => {
    files.delete(nameOf(2))
    expect(await at.attempt(`hf:owner/Tiny:${nameOf(1)}`)).toMatchObject({
      why: `the model is split into 3 files, and the repository has no ${nameOf(2)}`,
    })
    expect(asked).toEqual([])
  })

  it('is one of several models of a repository, told by its first file', async () => {
    files.set('other.gguf', Buffer.from('x'))
    expect(await at.attempt('hf:owner/Tiny')).toMatchObject({
      why: `the repository has 2 GGUF files: ${nameOf(1)}, other.gguf`,
    })
  })
})

it('names of parts are those of gguf-split, no others', () => {
  expect(ggufPartNames('a/B-00002-of-00002.GGUF')).toEqual(['a/B-00001-of-00002.GGUF', 'a/B-00002-of-00002.GGUF'])
  for (const other of [
    'a.gguf',
    'a-00001-of-00001.gguf',
    'a-00003-of-00002.gguf',
    'a-0001-of-0002.gguf',
    'a-00001-of-99999.gguf',
  ])
    expect(ggufPartNames(other)).toBeNull()
  expect(ggufModels(['x-00002-of-00002.gguf', 'x-00001-of-00002.gguf', 'y.gguf'])).toEqual([
    'x-00001-of-00002.gguf',
    'y.gguf',
  ])
})
