/** What the repository holds itself to: code, names, errors, nothing of one machine, a licence beside what is not code. */
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { WeftError } from '../../src/errors.ts'
import type { ErrorInfo } from '../../src/errors.ts'
import { ROOMS } from './arrows.ts'
import { codeOf, read, repositoryFiles, ROOT, sourceFiles } from './repository.ts'
import { breaches, MAX_LINES, ties } from './style.ts'

const files = repositoryFiles()
const TEXT =
  /\.(?:ts|mts|js|mjs|json|md|html|css|py|sh|svg|txt|yml|yaml)$|^(?:[^/.]+|bin\/weft|\.ci\/run|\.npmrc|\.gitignore)$/

describe('the code', () => {
  test('has no any, default export, enum, namespace, direct clock or long file', () => {
    const found = [...sourceFiles('src', 'test', 'bench', 'examples'), 'vitest.config.ts'].flatMap((path) =>
      breaches(path, read(path)),
    )
    expect(found).toEqual([])
  })

  test('has names in kebab-case', () => {
    const odd = sourceFiles('src', 'test', 'bench', 'examples').filter(
      (path) => !/^(?:[a-z0-9]+(?:-[a-z0-9]+)*\/)*[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test|\.bench)?\.ts$/.test(path),
    )
    expect(odd).toEqual([])
  })
})

test('no file has a path of a machine or the host of a registry', () => {
  // These name such things in order to find or to recognise them.
  const exempt = new Set(['test/house/style.ts', 'test/house/style.test.ts'])
  const found = files
    .filter((path) => TEXT.test(path) && !exempt.has(path) && path !== 'package-lock.json')
    .flatMap((path) => ties(path, read(path)))
  expect(found).toEqual([])
  expect(read('package-lock.json')).not.toMatch(/"resolved": "http/)
})

describe('errors', () => {
  interface Found {
    readonly name: string
    readonly room: string
    readonly info: ErrorInfo
  }

  const declared = /\bclass (\w+) extends (?:WeftError|\w+Error)\b/g
  const room = (path: string): string => path.split('/')[1]!
  /** Carries the code of another error, or is the error without a cause of its own. */
  const withoutCode = new Set(['WeftError', 'ForwardedError', 'RemoteError', 'InterruptedError', 'FederatedError'])

  async function classesOf(path: string): Promise<Found[]> {
    const names = [...codeOf(read(path)).matchAll(declared)]
      .map((match) => match[1]!)
      .filter((name) => !withoutCode.has(name))
    if (names.length === 0) return []
    const face = (await import(`${ROOT}${path}`)) as Record<string, unknown>
    return names.map((name) => {
      const value = face[name] as { readonly info?: ErrorInfo; readonly prototype?: unknown } | undefined
      expect(value?.prototype, `${path}: ${name} is exported and a WeftError`).toBeInstanceOf(WeftError)
      expect(value?.info, `${path}: ${name} has an info`).toBeDefined()
      return { name, room: room(path), info: value!.info! }
    })
  }

  async function tableOf(name: string): Promise<ErrorInfo[]> {
    const face = (await import(`${ROOT}src/${name}/index.ts`)) as Record<string, unknown>
    return Object.entries(face).flatMap(([key, value]) => (key.endsWith('_ERRORS') ? (value as ErrorInfo[]) : []))
  }

  test('have one code each, well formed and used once, and stand in the table of their room', async () => {
    const found = (await Promise.all(sourceFiles('src').map(classesOf))).flat()
    expect(found.length).toBeGreaterThan(50)
    const codes = found.map(({ info }) => info.code)
    expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([])
    expect(
      codes.filter((code) => !/^WEFT-(?:CLI|CFG|NET|DSC|TRU|MOD|DAT|STO|PLN|INF|FED|API|INT)-\d{3}$/.test(code)),
    ).toEqual([])
    const missing: string[] = []
    for (const name of new Set(found.map((entry) => entry.room))) {
      if (!(ROOMS as readonly string[]).includes(name) || name === 'errors.ts') continue
      // The table of the command line stands in its errors file: its face is a program.
      const table = name === 'cli' ? (await import('../../src/cli/errors.ts')).CLI_ERRORS : await tableOf(name)
      const inTable = new Set(table.map(({ code }) => code))
      for (const entry of found) {
        if (entry.room === name && !inTable.has(entry.info.code))
          missing.push(`${name}: ${entry.name} ${entry.info.code}`)
      }
    }
    expect(missing).toEqual([])
  }, 120_000)

  test('say what to do', async () => {
    const found = (await Promise.all(sourceFiles('src').map(classesOf))).flat()
    const silent = found.filter(({ info }) => info.title === '' || info.meaning === '' || info.remedy.length < 10)
    expect(silent.map(({ name }) => name)).toEqual([])
  }, 120_000)
})

test('what is no code has a licence beside it', () => {
  const bare = files
    .filter((path) => /^partitions\/.+\.(?:gguf|onnx|bin|data|txt)$/.test(path))
    .filter((path) => !files.some((other) => dirname(other) === dirname(path) && /\/LICENSE/.test(other)))
  expect(bare).toEqual([])
  const unlicensed = files
    .filter((path) => /^partitions\/(?:catalogue\/)?[^/]+\.json$/.test(path))
    .filter((path) => typeof (JSON.parse(read(path)) as { license?: unknown }).license !== 'string')
  expect(unlicensed).toEqual([])
  expect(['LICENSE', 'LICENSE-APACHE', 'LICENSE-MIT'].filter((path) => !files.includes(path))).toEqual([])
})

describe('the rules', () => {
  test.each<[string, string, string]>([
    ['any', 'src/a/b.ts', 'const x: any = 1'],
    ['a cast to any', 'src/a/b.ts', 'const x = (y as any).z'],
    ['any inside a type', 'src/a/b.ts', 'const x = new Map<string, any>()'],
    ['an array of any', 'src/a/b.ts', 'function f(...x: any[]) {}'],
    ['a default export', 'src/a/b.ts', 'export default 1'],
    ['a renamed default export', 'src/a/b.ts', 'const x = 1\nexport { x as default }'],
    ['an enum', 'src/a/b.ts', 'export const enum X { a }'],
    ['a namespace', 'src/a/b.ts', 'namespace X {}'],
    ['the time', 'src/a/b.ts', 'const now = Date.now()'],
    ['the date', 'src/a/b.ts', 'const now = new Date()'],
    ['chance', 'src/a/b.ts', 'const x = Math.random()'],
    ['a timer', 'src/a/b.ts', 'setTimeout(() => {}, 1)'],
    ['a hidden timer', 'src/a/b.ts', 'const signal = AbortSignal.timeout(1)'],
    ['a long file', 'src/a/b.ts', 'x\n'.repeat(MAX_LINES + 1)],
  ])('find %s', (_, path, text) => {
    expect(breaches(path, text)).toHaveLength(1)
  })

  test.each<[string, string, string]>([
    ['words in comments and texts', 'src/a/b.ts', "// any enum: any\n/* Date.now() */\nconst x = 'a: any Date.now()'"],
    ['a date of a given time', 'src/a/b.ts', 'const x = new Date(clock.wall())'],
    ['a timer in util', 'src/util/b.ts', 'setTimeout(() => {}, 1)'],
    ['a hidden timer in net', 'src/net/b.ts', 'const signal = AbortSignal.timeout(1)'],
    ['types added to those of a package', 'src/a/b.ts', "declare module 'x' {}"],
    ['any of a list', 'src/a/b.ts', 'const x = AbortSignal.any([a, b]), y = { any: 1 }'],
    ['a file of the greatest length', 'src/a/b.ts', 'x\n'.repeat(MAX_LINES)],
  ])('let %s pass', (_, path, text) => {
    expect(breaches(path, text)).toEqual([])
  })

  test('find what ties a file to a machine or a site, and nothing else', () => {
    expect(ties('a', ['see ', 'work', 'x'].join('/'))).toHaveLength(1)
    expect(ties('a', 'cd "/root"')).toHaveLength(1)
    expect(ties('a', '`/home/somebody/x`')).toHaveLength(1)
    expect(ties('a', ['https://registry', 'npmjs', 'org/x'].join('.'))).toHaveLength(1)
    expect(ties('a', 'https://pypi.org/x')).toHaveLength(1)
    expect(ties('a', './work/x docs/root/y https://huggingface.co /tmp/x')).toEqual([])
  })
})
