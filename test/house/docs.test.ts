/** What is written down is true: made pages are current, links lead somewhere, commands are those that CI runs. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { read, repositoryFiles, ROOT } from './repository.ts'

const run = promisify(execFile)
const files = repositoryFiles()
const pages = files.filter((path) => path.endsWith('.md'))

test('docs/cli.md and docs/errors.md are what the sources say', async () => {
  await expect(
    run(process.execPath, ['--disable-warning=ExperimentalWarning', 'scripts/docs.mjs', '--check'], { cwd: ROOT }),
  ).resolves.toBeDefined()
})

test('every link of a page leads to a file', () => {
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1]!)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => !existsSync(join(ROOT, normalize(join(dirname(page), target)))))
      .map((target) => `${page}: ${target}`),
  )
  expect(broken).toEqual([])
})

test('every file of src, scripts and docs that a page names is there', () => {
  const named = pages.flatMap((page) =>
    [...read(page).matchAll(/`((?:src|scripts|docs|test|examples|bench|partitions)\/[\w./-]+\.\w+)`/g)].map(
      (match) => [page, match[1]!] as const,
    ),
  )
  expect(named.length).toBeGreaterThan(0)
  expect(named.filter(([, path]) => !existsSync(join(ROOT, path)))).toEqual([])
})

test('the layout of a frame in docs/wire.md is that of src/net/frame.ts', () => {
  const header = read('src/net/frame.ts').split('*/', 1)[0]!
  const offsets = [...header.matchAll(/(?:^ \*|\s) *(\d{1,3}) (?:u8|u16|u32|f64)/gm)].map((match) => Number(match[1]))
  const rows = [...read('docs/wire.md').matchAll(/^\| (\d{1,3}) \| (?:u8|u16|u32|f64)/gm)].map((match) =>
    Number(match[1]),
  )
  expect(offsets.length).toBeGreaterThan(15)
  expect(rows).toEqual(offsets)
})

test('the three words that a newcomer types are in the README, and CI types them', () => {
  const ci = read('.ci/run')
  for (const command of ['npm ci', 'npm test']) {
    expect(read('README.md')).toMatch(new RegExp(`^${command}$`, 'm'))
    expect(ci).toContain(command)
  }
  expect(read('README.md')).toMatch(/^npm start$/m)
  expect(ci).toContain('npm run pages')
})

test('every script that a page names is in package.json', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const named = [...pages.map(read), read('.ci/run')].flatMap((text) =>
    [...text.matchAll(/\bnpm run ([a-z:-]+)/g)].map((match) => match[1]!),
  )
  expect(named.filter((name) => !(name in scripts))).toEqual([])
})

test('an example is a README and a short run.ts, and is listed', () => {
  const names = new Set(files.filter((path) => /^examples\/[^/]+\//.test(path)).map((path) => path.split('/')[1]!))
  expect(names.size).toBeGreaterThan(1)
  for (const name of names) {
    expect(files).toContain(`examples/${name}/README.md`)
    expect(read(`examples/${name}/run.ts`).split('\n').length, `${name}/run.ts`).toBeLessThanOrEqual(60)
    expect(read('examples/README.md')).toContain(`(${name})`)
    expect(read(`examples/${name}/README.md`)).toContain(`npm run example -- ${name}`)
  }
})
