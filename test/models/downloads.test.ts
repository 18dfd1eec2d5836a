/** What can go wrong on the way from a server: pages in place of files, redirects, changed files, full disks. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { followRedirects } from '../../src/models/sources/redirects.ts'
import { serveBytes, startFileServer } from './support/file-server.ts'
import type { FileServer } from './support/file-server.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-downloads-'))
const model = writeGguf(tinyLlama())

let at: SourceHome
let elsewhere: FileServer
let count = 0

beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count++}`))
  elsewhere = await startFileServer()
})
afterEach(async () => {
  await at.server.close()
  await elsewhere.close()
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

type Answer = FileServer['answer']

const page: Answer = (_, response) =>
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<!DOCTYPE html><h1>Log in</h1>')
const unnamedPage: Answer = (_, response) => response.writeHead(200).end('\n <!doctype html><h1>Log in</h1>')
const problem: Answer = (_, response) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"error":"no"}')

/** One answer after the other, the last one for all that follow. */
function inOrder(...answers: readonly Answer[]): Answer {
  let next = 0
  return (request, response) => answers[Math.min(next++, answers.length - 1)]!(request, response)
}

function redirect(to: string, status = 302): Answer {
  return (_, response) => response.writeHead(status, { location: to }).end()
}

describe('a server that answers 200', () => {
  it.each([
    ['with a page', page],
    ['with a page that is not called one', unnamedPage],
    ['with JSON', problem],
  ])('%s for the rest of a file is told so; what had come is kept, and goes on', async (_, answer) => {
    const busy: Answer = (__, response) => response.writeHead(503).end()
    at.server.answer = inOrder(serveBytes(model, '"1"', 5000), answer)
    const url = `${at.server.url}/m.gguf`
    expect(await at.attempt(url)).toMatchObject({
      code: 'WEFT-MOD-010',
      why: 'the server answered with a page for people, not with the file',
    })
    expect(at.downloads()).toHaveLength(2)
    at.server.answer = inOrder(busy, serveBytes(model, '"1"'))
    expect(await at.attempt(url)).toBe('imported')
    expect(at.server.ranges).toEqual([null, 'bytes=5000-', 'bytes=5000-', 'bytes=5000-'])
    expect(at.downloads()).toEqual([])
  })

  it('is not asked again: the page will come again', async () => {
    at.server.answer = page
    await at.attempt(`${at.server.url}/m.gguf`)
    expect(at.server.ranges).toHaveLength(1)
    expect(at.downloads()).toEqual([])
  })
})

describe('a file that changed between two tries', () => {
  it('is begun anew where the server knows ranges and not If-Range', async () => {
    const old = Uint8Array.from(model, (byte) => byte ^ 255)
    const careless: Answer = (request, response) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const range = from > 0 ? { 'content-range': `bytes ${from}-${model.length - 1}/${model.length}` } : {}
      response.writeHead(from > 0 ? 206 : 200, { etag: '"new"', 'content-length': model.length - from, ...range })
      response.end(model.subarray(from))
    }
    at.server.answer = inOrder(serveBytes(old, '"old"', 5000), careless)
    expect(await at.attempt(`${at.server.url}/m.gguf`)).toBe('imported')
    expect(at.server.ranges).toEqual([null, 'bytes=5000-', null])
  })
})

describe('a redirect', () => {
  it('is followed, also to another host', async () => {
    elsewhere.answer = serveBytes(model, '"1"')
    at.server.answer = redirect(`${elsewhere.url}/signed?x=1`)
    expect(await at.attempt(`${at.server.url}/m.gguf`)).toBe('imported')
  })

  it.each([
    ['to itself', () => redirect('/m.gguf'), /go in a circle/],
    ['in a circle over another host', () => redirect(`${elsewhere.url}/x`), /go in a circle/],
    ['on and on', onAndOn, /more than 10 times/],
    ['to a file of this machine', () => redirect('file:///etc/passwd'), /redirects to file:/],
    ['to data', () => redirect('data:text/plain,GGUF'), /redirects to data:/],
    ['to what is no URL', () => redirect('http://['), /no URL/],
  ])('%s is refused once', async (_, make, why) => {
    at.server.answer = make()
    elsewhere.answer = redirect(`${at.server.url}/m.gguf`)
    const error = await at.attempt(`${at.server.url}/m.gguf`)
    expect(error).toMatchObject({ code: 'WEFT-MOD-010', final: true, why: expect.stringMatching(why) as string })
    expect(at.server.ranges.length).toBeLessThanOrEqual(11)
    expect(at.downloads()).toEqual([])
  })

  function onAndOn(): Answer {
    let step = 0
    return (_, response) => response.writeHead(307, { location: `/step-${step++}` }).end()
  }

  it('from https to plain http is refused', async () => {
    const asked: string[] = []
    const fetcher = (url: unknown): Promise<Response> => {
      asked.push(String(url))
      return Promise.resolve(new Response(null, { status: 302, headers: { location: 'http://example.org/m' } }))
    }
    const request = { url: new URL('https://example.org/m'), source: 'm' }
    await expect(followRedirects(fetcher as typeof fetch, request, new AbortController().signal)).rejects.toMatchObject(
      { why: expect.stringContaining('from https to plain http') as string },
    )
    expect(asked).toEqual(['https://example.org/m'])
  })
})

describe('the token of a hub', () => {
  it('goes to the hub alone: not to where it redirects to, and not back again by that way', async () => {
    const seen: [string, string | undefined][] = []
    const note = (host: string, request: IncomingMessage): void => {
      seen.push([`${host} ${request.method} ${request.url!.split('?')[0]!}`, request.headers.authorization])
    }
    at.needs = { ...at.needs, environment: { HF_ENDPOINT: `${at.server.url}/`, HF_TOKEN: ' hf_secret\n' } }
    const file = serveBytes(model, '"1"')
    at.server.answer = (request, response) => {
      note('hub', request)
      const path = request.url!
      if (path.startsWith('/api/')) response.end(JSON.stringify({ siblings: [{ rfilename: 'm.gguf' }] }))
      else if (path === '/back') file(request, response)
      else redirect(`${elsewhere.url}/signed`)(request, response)
    }
    elsewhere.answer = (request, response) => {
      note('elsewhere', request)
      redirect(`${at.server.url}/back`)(request, response)
    }
    expect(await at.attempt('hf:owner/name')).toBe('imported')
    const token = 'Bearer hf_secret'
    expect(seen).toEqual([
      ['hub GET /api/models/owner/name', token],
      ['hub HEAD /owner/name/resolve/main/m.gguf', token],
      ['hub GET /owner/name/resolve/main/m.gguf', token],
      ['elsewhere GET /signed', undefined],
      ['hub GET /back', undefined],
    ])
  })

  it('is in no message, also where it cannot be sent', async () => {
    at.needs = { ...at.needs, environment: { HF_ENDPOINT: at.server.url, HF_TOKEN: 'hf_se\ncret' } }
    const error = await at.attempt('hf:owner/name')
    expect(error).toMatchObject({ code: 'WEFT-MOD-010', why: 'HF_TOKEN is no token' })
    expect(JSON.stringify(error) + String(error)).not.toContain('cret')
    expect(at.server.ranges).toEqual([])
  })
})

describe('a hub', () => {
  it.each([
    ['a page', page, /something else than a list/],
    ['other JSON', problem, /something else than a list/],
    ['a list without an end', ((_, response) => response.end(' '.repeat(5 << 20))) satisfies Answer, /too long/],
    ['nothing', (() => {}) satisfies Answer, /not done within 30 s/],
    ['a redirect to itself', redirect('/api/models/owner/name?blobs=true'), /circle/],
  ])('that answers with %s is told so', async (_, answer, why) => {
    at.server.answer = answer
    expect(await at.attempt('hf:owner/name')).toMatchObject({
      code: 'WEFT-MOD-010',
      why: expect.stringMatching(why) as string,
    })
  })

  it('that is no URL is not asked', async () => {
    for (const endpoint of ['hub.example', 'file:///tmp', '::']) {
      at.needs = { ...at.needs, environment: { HF_ENDPOINT: endpoint } }
      expect(await at.attempt('hf:owner/name')).toMatchObject({ why: 'HF_ENDPOINT is not the URL of a hub' })
    }
  })
})

/** A file system of 6 MiB, where this process may mount one. */
function mountSmall(): string | null {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return null
  const path = join(base, 'small')
  mkdirSync(path)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', path], { stdio: 'ignore' })
    return path
  } catch {
    return null
  }
}

const small = mountSmall()

describe.skipIf(small === null)('a disk that is full at 99 % (skipped where no small tmpfs can be mounted)', () => {
  afterAll(() => execFileSync('umount', [small!]))

  it('keeps what came, and the next try goes on there', async () => {
    const large = writeGguf(tinyLlama({ matrix: 'F32', width: 256, hidden: 256, layers: 2 }))
    at.needs = { ...at.needs, downloads: join(small!, 'downloads') }
    writeFileSync(join(small!, 'filler'), Buffer.alloc((6 << 20) - Math.ceil(large.length * 0.99) - 16_384))
    // No length: nobody can know before that it will not fit.
    at.server.answer = (_, response) => {
      response.writeHead(200, { etag: '"1"' })
      response.end(large)
    }
    const url = `${at.server.url}/m.gguf`
    expect(await at.attempt(url)).toMatchObject({ code: 'WEFT-STO-007' })
    rmSync(join(small!, 'filler'))
    at.server.answer = serveBytes(large, '"1"')
    expect(await at.attempt(url)).toBe('imported')
    const from = Number(/^bytes=(\d+)-$/.exec(at.server.ranges.at(-1) ?? '')?.[1])
    expect(from).toBeGreaterThan(large.length * 0.8)
    expect(at.downloads()).toEqual([])
  })
})
