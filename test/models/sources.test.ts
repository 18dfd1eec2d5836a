import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { importModel } from '../../src/models/index.ts'
import type { ImportProgress } from '../../src/models/index.ts'
import { serveBytes } from './support/file-server.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-sources-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const model = writeGguf(tinyLlama())
const sha256 = createHash('sha256').update(model).digest('hex')

let at: SourceHome
let count = 0

beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count++}`))
})
afterEach(() => at.server.close())

describe('a URL', () => {
  it('is downloaded, imported under the name of its file, and removed again', async () => {
    at.server.answer = serveBytes(model, '"1"')
    const progress: ImportProgress[] = []
    const manifest = await importModel(at.needs, { source: `${at.server.url}/dir/My%20Model.gguf` }, (step) =>
      progress.push(step),
    )
    expect(manifest).toMatchObject({ model: 'my-20model', source: `${at.server.url}/dir/My%20Model.gguf` })
    const fetching = progress.filter(({ task }) => task.startsWith('fetching'))
    expect(fetching.at(-1)).toMatchObject({ done: model.length, total: model.length, unit: 'bytes' })
    expect(at.downloads()).toEqual([])
  })

  it('goes on where the connection broke', async () => {
    at.server.answer = serveBytes(model, '"1"', 5000)
    const manifest = await importModel(at.needs, { source: `${at.server.url}/m.gguf` })
    expect(manifest.blocks).toHaveLength(4)
    expect(at.server.ranges).toEqual([null, 'bytes=5000-'])
  })

  it('goes on after the import was stopped, also in another process', async () => {
    const controller = new AbortController()
    at.server.answer = (_, response) => {
      response.writeHead(200, { 'content-length': model.length, etag: '"1"' })
      response.write(model.subarray(0, 7000))
    }
    const stop = ({ done }: ImportProgress): void => {
      if (done === 7000) controller.abort(new Error('stopped'))
    }
    await expect(importModel(at.needs, { source: `${at.server.url}/m.gguf` }, stop, controller.signal)).rejects.toThrow(
      'stopped',
    )
    expect(at.downloads()).toHaveLength(2)
    at.server.answer = serveBytes(model, '"1"')
    await importModel(at.needs, { source: `${at.server.url}/m.gguf` })
    expect(at.server.ranges).toEqual([null, 'bytes=7000-'])
    expect(at.downloads()).toEqual([])
  })

  it('begins anew when the file has changed meanwhile', async () => {
    const old = Uint8Array.from(model, (byte) => byte ^ 255)
    at.server.answer = serveBytes(old, '"old"', 5000)
    const changing = at.server.answer
    let requests = 0
    at.server.answer = (request, response) =>
      (requests++ === 0 ? changing : serveBytes(model, '"new"'))(request, response)
    expect((await importModel(at.needs, { source: `${at.server.url}/m.gguf` })).blocks).toHaveLength(4)
  })

  it.each([404, 403, 401])('that answers %i is refused at once', async (status) => {
    at.server.answer = (_, response) => response.writeHead(status).end()
    expect(await at.attempt(`${at.server.url}/m.gguf`)).toMatchObject({
      code: 'WEFT-MOD-010',
      why: `the server answered ${status}`,
    })
    expect(at.server.ranges).toHaveLength(1)
  })

  it('that is busy is asked again', async () => {
    at.server.answer = (request, response) =>
      at.server.ranges.length < 2 ? response.writeHead(503).end() : serveBytes(model, '"1"')(request, response)
    expect(await at.attempt(`${at.server.url}/m.gguf`)).toBe('imported')
  })

  it('that says nothing any more is given up', async () => {
    at.server.answer = () => {}
    expect(await at.attempt(`${at.server.url}/m.gguf`)).toMatchObject({
      why: 'nothing arrived for 30 s',
      retryable: true,
    })
  })

  it('that cannot be reached is said so', async () => {
    await at.server.close()
    const error = await at.attempt(`${at.server.url}/m.gguf`)
    expect(error).toMatchObject({ code: 'WEFT-MOD-010', why: expect.stringMatching(/ECONNREFUSED/) as string })
  })

  it('that is no model leaves nothing', async () => {
    at.server.answer = serveBytes(Buffer.from('<html>Please log in to download this file</html>'), '"1"')
    expect(await at.attempt(`${at.server.url}/m.gguf`)).toMatchObject({
      code: 'WEFT-MOD-010',
      why: 'the server answered with a page for people, not with the file',
    })
    expect(at.downloads()).toEqual([])
    at.server.answer = serveBytes(Buffer.from('Please log in to download this file'), '"1"')
    expect(await at.attempt(`${at.server.url}/m.gguf`)).toMatchObject({ code: 'WEFT-MOD-002' })
    expect(at.downloads()).toEqual([])
  })

  it('with more bytes than the disk has is refused before they come', async () => {
    at.server.answer = (_, response) => {
      response.writeHead(200, { 'content-length': 2 ** 50 })
      response.write(model)
    }
    expect(await at.attempt(`${at.server.url}/m.gguf`)).toMatchObject({ code: 'WEFT-STO-007' })
  })
})

describe('a hub', () => {
  it('gives the file that is named, held against the SHA-256 that it announces', async () => {
    let announced = sha256
    at.server.answer = (request, response) => {
      expect(request.url).toBe('/owner/name/resolve/main/dir/m.gguf')
      if (request.method === 'HEAD')
        response.writeHead(302, { 'x-linked-etag': `"${announced}"`, location: '/x' }).end()
      else serveBytes(model, '"1"')(request, response)
    }
    expect(await at.attempt('hf:owner/name:dir/m.gguf')).toBe('imported')
    announced = '0'.repeat(64)
    expect(await at.attempt('hf:owner/name:dir/m.gguf')).toMatchObject({ code: 'WEFT-MOD-011' })
    expect(at.downloads()).toEqual([])
  })

  it('is asked for its only GGUF file, and several are listed', async () => {
    let files = ['README.md', 'only.gguf']
    at.server.answer = (request, response) => {
      if (request.url!.startsWith('/api/'))
        response.end(JSON.stringify({ siblings: files.map((rfilename) => ({ rfilename })) }))
      else if (request.url!.endsWith('/only.gguf')) serveBytes(model, '"1"')(request, response)
      else response.writeHead(404).end()
    }
    expect((await importModel(at.needs, { source: 'hf:owner/name' })).model).toBe('only')
    files = ['a.gguf', 'b.gguf']
    expect(await at.attempt('hf:owner/name')).toMatchObject({
      why: expect.stringContaining('a.gguf, b.gguf') as string,
    })
    files = ['model.safetensors']
    expect(await at.attempt('hf:owner/name')).toMatchObject({
      why: 'the repository has no GGUF file, no config.json with safetensors, and no ONNX file',
    })
  })
})
