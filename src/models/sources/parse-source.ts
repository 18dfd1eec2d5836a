/** What a source says, as data. Names are checked here: they end up in URLs and on command lines. */
import { isAbsolute } from 'node:path'
import { SourceSyntaxError } from '../errors.ts'
import { parseOllamaName } from './ollama.ts'
import type { OllamaName } from './ollama.ts'

export type Source =
  | { readonly kind: 'url'; readonly url: URL }
  | { readonly kind: 'hub'; readonly repository: string; readonly file: string | null }
  | { readonly kind: 'npm' | 'pypi'; readonly package: string; readonly version: string | null; readonly path: string }
  /** `folder`: of ollama's models, where it is named. */
  | { readonly kind: 'ollama'; readonly name: OllamaName; readonly folder: string | null }
  | { readonly kind: 'bundled'; readonly path: string }
  /** A file, or a name of the catalogue: whichever is there. */
  | { readonly kind: 'plain'; readonly text: string }

/** `owner/name`, as hubs allow it. */
const HUB_REPOSITORY = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/
/** Names of npm packages; the first letter is no dash, so that none is taken for an option. */
const NPM_PACKAGE = /^(@[a-z0-9][a-z0-9._-]*\/)?[a-z0-9][a-z0-9._-]*$/i
/** PEP 508 names. */
const PYPI_PACKAGE = /^[A-Z0-9]([A-Z0-9._-]*[A-Z0-9])?$/i
const VERSION = /^[A-Za-z0-9][A-Za-z0-9.+!_-]*$/
/** Longest path that is looked for in an archive or a repository. */
const MAX_PATH = 512

/** @throws SourceSyntaxError */
export function parseSource(source: string): Source {
  if (source === '' || source.length > 4096 || source.includes('\0')) {
    throw new SourceSyntaxError(source, 'it is empty, too long or has a NUL in it')
  }
  const scheme = /^([a-z]+):/.exec(source)?.[1]
  const rest = source.slice((scheme?.length ?? -1) + 1)
  switch (scheme) {
    case 'http':
    case 'https':
      return parseUrl(source)
    case 'hf':
      return parseHub(source, rest)
    case 'npm':
      return parsePackage('npm', source, rest, '@', NPM_PACKAGE)
    case 'pypi':
      return parsePackage('pypi', source, rest, '==', PYPI_PACKAGE)
    case 'ollama':
      return parseOllama(source, rest)
    case 'bundled':
      return { kind: 'bundled', path: innerPath(source, rest) }
    default:
      return { kind: 'plain', text: source }
  }
}

function parseUrl(source: string): Source {
  if (!URL.canParse(source)) throw new SourceSyntaxError(source, 'it is not a URL')
  const url = new URL(source)
  if (url.username !== '' || url.password !== '') {
    throw new SourceSyntaxError(
      `${url.protocol}//${url.host}`,
      'a URL with a password would stand in manifests and logs',
    )
  }
  return { kind: 'url', url }
}

function parseHub(source: string, rest: string): Source {
  const colon = rest.indexOf(':')
  const repository = colon < 0 ? rest : rest.slice(0, colon)
  if (!HUB_REPOSITORY.test(repository)) throw new SourceSyntaxError(source, 'expected hf:owner/name[:file]')
  return { kind: 'hub', repository, file: colon < 0 ? null : innerPath(source, rest.slice(colon + 1)) }
}

function parseOllama(source: string, rest: string): Source {
  const at = rest.indexOf('@')
  const name = parseOllamaName(at < 0 ? rest : rest.slice(0, at))
  const folder = at < 0 ? null : rest.slice(at + 1)
  if (name === null) throw new SourceSyntaxError(source, 'expected ollama:name[:tag][@FOLDER]')
  if (folder !== null && !isAbsolute(folder)) {
    throw new SourceSyntaxError(source, 'the folder of ollama after the @ must begin at the root')
  }
  return { kind: 'ollama', name, folder }
}

function parsePackage(kind: 'npm' | 'pypi', source: string, rest: string, mark: string, shape: RegExp): Source {
  const wanted = kind === 'npm' ? 'npm:name[@version]:path' : 'pypi:name[==version]:path'
  const colon = rest.indexOf(':')
  if (colon < 0) throw new SourceSyntaxError(source, `expected ${wanted}`)
  const spec = rest.slice(0, colon)
  // A scope begins with the same sign as a version does.
  const cut = spec.indexOf(mark, 1)
  const name = cut < 0 ? spec : spec.slice(0, cut)
  const version = cut < 0 ? null : spec.slice(cut + mark.length)
  if (!shape.test(name) || (version !== null && !VERSION.test(version))) {
    throw new SourceSyntaxError(source, `expected ${wanted}`)
  }
  return { kind, package: name, version, path: innerPath(source, rest.slice(colon + 1)) }
}

/** A path inside of an archive, repository or folder: never out of it. */
function innerPath(source: string, path: string): string {
  const parts = path.split('/')
  const sound = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\:\p{Cc}]/u.test(part))
  if (!sound || path.length > MAX_PATH) throw new SourceSyntaxError(source, 'its path is not one inside of a folder')
  return path
}
