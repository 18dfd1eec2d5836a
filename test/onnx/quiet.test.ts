/** The engine's library tells nobody anything: a process that has loaded and used it leaves no file of its telemetry. */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const PROGRAM = `
import { createOrtEngine } from ${JSON.stringify(new URL('../../src/onnx/index.ts', import.meta.url).href)}
await createOrtEngine().load(process.argv[1], { threads: 1 }).catch((error) => console.log(error.code))
console.log(process.env.ORT_DISABLE_TELEMETRY)
`

it('leaves nothing in the folder for temporary files, and is told so before it is loaded', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'weft-quiet-'))
  try {
    const missing = fileURLToPath(new URL('no-such-graph.onnx', import.meta.url))
    const { ORT_DISABLE_TELEMETRY: _, ...env } = process.env
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', PROGRAM, missing],
      { env: { ...env, TMPDIR: directory, HOME: directory, XDG_CACHE_HOME: directory } },
    )
    // The files first: they are what a user finds, and they do appear without the setting.
    expect(await readdir(directory)).toEqual([])
    expect(stdout).toMatch(/^WEFT-\S+\n1\n$/)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
})
