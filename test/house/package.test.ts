/**
 * The package as users get it: built, packed, and unpacked under a node_modules elsewhere, where Node strips no types. Its
 * dependencies are those that the lock file counts as needed to run, linked from here; so one that is declared for
 * development only is missed.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isLong } from '../whole.ts'
import { read, ROOT } from './repository.ts'

const run = promisify(execFile)
const PROMPT = 'The captain looked at the sea and said that'

let project: string
let installed: string

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'weft-package-'))
  installed = join(project, 'node_modules', 'weft-mesh')
  await run('npm', ['pack', '--silent', '--pack-destination', project], { cwd: ROOT })
  const tarball = (await readdir(project)).find((name) => name.endsWith('.tgz'))!
  await mkdir(installed, { recursive: true })
  await run('tar', ['-xzf', join(project, tarball), '--strip-components=1', '-C', installed])
  await linkDependencies()
  await mkdir(join(project, 'node_modules', '.bin'))
  await symlink('../weft-mesh/bin/weft', join(project, 'node_modules', '.bin', 'weft'))
  await writeFile(join(project, 'package.json'), '{ "type": "module" }\n')
}, 300_000)

afterAll(() => rm(project, { recursive: true, force: true }))

async function linkDependencies(): Promise<void> {
  const lock = JSON.parse(read('package-lock.json')) as { packages: Record<string, { dev?: boolean }> }
  for (const [path, entry] of Object.entries(lock.packages)) {
    // Nested ones are found from the real place of the one that they are nested in.
    if (!/^node_modules\/(?:@[^/]+\/)?[^/]+$/.test(path) || entry.dev === true || !existsSync(join(ROOT, path)))
      continue
    await mkdir(dirname(join(project, path)), { recursive: true })
    await symlink(join(ROOT, path), join(project, path))
  }
}

/** As a shell in the project would find it. */
function weft(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const env = { ...process.env, WEFT_HOME: join(project, 'home'), WEFT_RELAUNCHED: undefined }
  return run(process.execPath, [join(project, 'node_modules', '.bin', 'weft'), ...args], { cwd: project, env })
}

/** As a user's own compiler would, with the types that the package brings. */
function compile(file: string): Promise<unknown> {
  const options = [
    '--strict',
    '--noEmit',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--lib',
    'esnext',
    '--types',
    'node',
  ]
  const types = ['--typeRoots', join(ROOT, 'node_modules', '@types'), '--skipLibCheck']
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  return run(process.execPath, [tsc, ...options, ...types, file], { cwd: project })
}

test.runIf(isLong)('the tarball has what is needed to run and to be licensed, and no tests or sources', async () => {
  const files = (await readdir(installed, { recursive: true })).map((path) => path.replaceAll('\\', '/'))
  const { version } = JSON.parse(read('package.json')) as { version: string }
  const needed = ['LICENSE', 'LICENSE-APACHE', 'LICENSE-MIT', 'README.md', 'CHANGELOG.md', 'SECURITY.md', 'bin/weft']
  const parts = ['dist/index.js', 'dist/index.d.ts', 'dist/api/dashboard/index.html', 'dist/pipeline/host/main.js']
  const programs = ['dist/models/import/main.js', 'dist/util/guarded/guardian.js', 'dist/pipeline/host/range.js']
  const models = ['partitions/weft-tiny/weft-tiny.gguf', 'partitions/weft-tiny/LICENSE', 'partitions/catalogue']
  expect([...needed, ...parts, ...programs, ...models].filter((path) => !files.includes(path))).toEqual([])
  expect(files.filter((path) => /^(?:src|test|bench|examples|\.ci)\/|(?<!\.d)\.ts$|^keys\/.*key/.test(path))).toEqual(
    [],
  )
  expect((await weft('version')).stdout).toContain(version)
})

test.runIf(isLong)('weft runs from it and answers as the checkout does', async () => {
  const args = ['run', 'weft-tiny', PROMPT, '--local', '--raw', '--temperature', '0', '--max-tokens', '4', '--json']
  const answer = JSON.parse((await weft(...args)).stdout) as { text: string; ids: number[] }
  expect(answer.ids).toHaveLength(4)
  const here = await run(process.execPath, [join(ROOT, 'bin', 'weft'), ...args, '--home', join(project, 'checkout')])
  expect(answer.ids).toEqual((JSON.parse(here.stdout) as { ids: number[] }).ids)
})

test.runIf(isLong)('it explains the errors of every room', async () => {
  for (const code of ['WEFT-NET-001', 'WEFT-MOD-050', 'WEFT-INF-040', 'WEFT-CLI-090']) {
    expect((await weft('help', 'errors', code)).stdout).toContain(code)
  }
})

test.runIf(isLong)(
  "the README's program runs as it stands, and ends by itself",
  async () => {
    const block = /^```ts\n([\s\S]*?)^```$/m.exec(read('README.md'))![1]!
    await writeFile(join(project, 'readme.ts'), block)
    const { stdout } = await run(process.execPath, ['readme.ts'], { cwd: project, timeout: 60_000 })
    expect(stdout.trim()).not.toBe('')
    expect(await compile('readme.ts')).toEqual({ stdout: '', stderr: '' })
  },
  120_000,
)

test.runIf(isLong)(
  'its types are complete for a program in TypeScript',
  async () => {
    await writeFile(
      join(project, 'typed.ts'),
      `import { createPeer } from 'weft-mesh'
     import type { Answer, PeerStatus } from 'weft-mesh'
     await using peer = await createPeer({ home: 'x', lan: 'off' })
     const status: PeerStatus = peer.status()
     for await (const token of peer.generate({ model: 'm', prompt: status.peer.name, topK: 4 })) {
       const text: string = token.text
       const logprob: number | undefined = token.logprob
       console.log(text, logprob)
     }
     const answer: Answer = await peer.generate({ model: 'm', ids: [1], signal: AbortSignal.timeout(1) }).answer()
     // @ts-expect-error a temperature is a number
     peer.generate({ model: answer.text, prompt: 'a', temperature: 'hot' })
    `,
    )
    expect(await compile('typed.ts')).toEqual({ stdout: '', stderr: '' })
  },
  120_000,
)
