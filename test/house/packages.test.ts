/** Packages: what src imports is declared, what is declared is used, and versions are exact. */
import { isBuiltin } from 'node:module'
import { expect, test } from 'vitest'
import { importsOf } from './arrows.ts'
import { read, sourceFiles } from './repository.ts'

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
}

const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Manifest

/** Tools that are run and not imported, and types. */
const RUN = new Set([
  '@types/multicast-dns',
  '@types/node',
  '@types/yauzl',
  'node',
  'oxfmt',
  'oxlint',
  'oxlint-tsgolint',
  'typescript',
])

function packagesOf(...folders: readonly string[]): Set<string> {
  const specifiers = sourceFiles(...folders).flatMap((file) => importsOf(file, read(file)).map((one) => one.specifier))
  return new Set(
    specifiers
      .filter((specifier) => /^[\w@]/.test(specifier) && !isBuiltin(specifier) && specifier !== 'weft-mesh')
      .map((specifier) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)![0]),
  )
}

test('src imports only packages that are declared to be needed', () => {
  expect([...packagesOf('src')].filter((name) => !(name in dependencies))).toEqual([])
})

test('every package that is declared to be needed is imported by src', () => {
  const used = packagesOf('src')
  expect(Object.keys(dependencies).filter((name) => !used.has(name))).toEqual([])
})

test('tests, benchmarks and examples import only declared packages, and all of them are used', () => {
  const used = packagesOf('test', 'bench', 'examples')
  expect([...used].filter((name) => !(name in dependencies) && !(name in devDependencies))).toEqual([])
  expect(Object.keys(devDependencies).filter((name) => !used.has(name) && !RUN.has(name))).toEqual([])
})

test('versions are exact', () => {
  const versions = Object.entries({ ...dependencies, ...devDependencies })
  expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))).toEqual([])
})
