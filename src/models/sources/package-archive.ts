/**
 * The archive of a package, fetched by ourselves where the site's client says where it lies (npm always, pip where an index is
 * set): so a download that broke off goes on where it stopped, also after the process was killed. The clients begin anew each
 * time. Where it lies behind credentials or a proxy, which only the client has, or where there is no hash to hold it against,
 * the client fetches it.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { DiskFullError } from '../../store/index.ts'
import { FetchError } from '../errors.ts'
import { download, downloadKey } from './download.ts'
import type { PackageNeeds, PackageRequest } from './packages.ts'
import type { ProgressListener } from './progress.ts'
import { followRedirects } from './redirects.ts'
import { runClient } from './run-client.ts'
import { bodyChunks } from './transfer.ts'

interface Located {
  readonly url: URL
  readonly name: string
  readonly algorithm: 'sha256' | 'sha512'
  /** Lower-case hex. */
  readonly digest: string
}

/** An index page of a package with some thousand files. */
const MOST_INDEX_BYTES = 16 << 20
const PROXIES = ['http_proxy', 'https_proxy', 'all_proxy']

/**
 * Whether the archive lies in `folder` now, as its registry says that it is. False: the client has to fetch it.
 * @throws FetchError where a part of it came, which stays; DiskFullError, the signal's reason
 */
export async function fetchArchive(
  needs: PackageNeeds,
  request: PackageRequest,
  folder: string,
  onProgress: ProgressListener,
  signal: AbortSignal,
): Promise<boolean> {
  const { downloads } = needs
  const isProxied = PROXIES.some((name) =>
    [name, name.toUpperCase()].some((key) => (needs.environment[key] ?? '') !== ''),
  )
  if (downloads === undefined || isProxied) return false
  const located = await (request.kind === 'npm' ? locateNpm : locatePypi)(needs, request, folder, signal)
  if (located === null) return false
  const { url, name } = located
  const target = join(downloads, `${downloadKey(url.href)}.archive`)
  try {
    await download({ ...needs, downloads }, { url, source: request.source, target }, onProgress, signal)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof DiskFullError) throw error
    const came = (await stat(`${target}.part`).catch(() => null))?.size ?? 0
    if (came > 0 && !(error instanceof FetchError && error.final)) throw error
    return false
  }
  if ((await digestOf(target, located.algorithm, signal)) !== located.digest) {
    await rm(target, { force: true })
    return false
  }
  await rename(target, join(folder, name))
  return true
}

async function digestOf(path: string, algorithm: string, signal: AbortSignal): Promise<string> {
  const hash = createHash(algorithm)
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal }) as AsyncIterable<Buffer>)
    hash.update(chunk)
  return hash.digest('hex')
}

/** npm's own configuration says which registry. */
async function locateNpm(
  { clock, environment }: PackageNeeds,
  request: PackageRequest,
  directory: string,
  signal: AbortSignal,
): Promise<Located | null> {
  const spec = request.version === null ? request.package : `${request.package}@${request.version}`
  const run = {
    command: 'npm',
    arguments: ['view', '--json', '--', spec, 'dist.tarball', 'dist.integrity'],
    directory,
    environment,
  }
  const result = await runClient(clock, run, signal)
  if (result.kind === 'missing' || result.status !== 0) return null
  const facts = parsed(result.output)
  const integrity = /(?:^|\s)sha512-([A-Za-z0-9+/]{86}==)/.exec(integrityOf(facts))?.[1]
  const url = webUrl(facts['dist.tarball'])
  if (integrity === undefined || url === null) return null
  return { url, name: 'package.tgz', algorithm: 'sha512', digest: Buffer.from(integrity, 'base64').toString('hex') }
}

function integrityOf({ 'dist.integrity': integrity }: Readonly<Record<string, unknown>>): string {
  return typeof integrity === 'string' ? integrity : ''
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : {}
  } catch {
    return {}
  }
}

function webUrl(text: unknown, base?: URL): URL | null {
  if (typeof text !== 'string' || !URL.canParse(text, base?.href)) return null
  const url = new URL(text, base?.href)
  const isWeb = url.protocol === 'https:' || url.protocol === 'http:'
  return isWeb && url.username === '' && url.password === '' ? url : null
}

/**
 * In the index that pip would ask (its simple page, PEP 503): the wheel of this version for any platform, with its SHA-256. One
 * that is for some platforms is pip's to choose.
 */
async function locatePypi(
  needs: PackageNeeds,
  { package: name, version, source }: PackageRequest,
  directory: string,
  signal: AbortSignal,
): Promise<Located | null> {
  if (version === null) return null
  const index = webUrl(needs.environment['PIP_INDEX_URL'] ?? (await pipIndex(needs, directory, signal)))
  if (index === null) return null
  const normal = name.toLowerCase().replaceAll(/[-_.]+/g, '-')
  const page = new URL(`${index.href.replace(/\/*$/, '/')}${normal}/`)
  const text = await pageText(needs, page, source, signal)
  for (const [, link] of text.matchAll(/<a\b[^>]*?\bhref\s*=\s*["']([^"']+)["']/gi)) {
    const url = webUrl(link!.replaceAll('&amp;', '&'), page)
    const digest = /^#sha256=([0-9a-f]{64})$/i.exec(url?.hash ?? '')?.[1]?.toLowerCase()
    if (url === null || digest === undefined) continue
    const file = decodeURIComponent(basename(url.pathname))
    const [project = '', release, ...tags] = file.replace(/\.whl$/, '').split('-')
    const isOne = project.toLowerCase().replaceAll(/[-_.]+/g, '-') === normal && release === version
    if (!isOne || !file.endsWith('-none-any.whl') || !tags.some((tag) => /(^|\.)py3$/.test(tag))) continue
    url.hash = ''
    return { url, name: 'package.whl', algorithm: 'sha256', digest }
  }
  return null
}

const PIP = [['pip3'], ['pip']] as const

async function pipIndex(
  { clock, environment }: PackageNeeds,
  directory: string,
  signal: AbortSignal,
): Promise<string | null> {
  for (const [command] of PIP) {
    const run = { command, arguments: ['config', 'get', 'global.index-url'], directory, environment }
    const result = await runClient(clock, run, signal)
    if (result.kind === 'missing') continue
    // A key that nobody has set is told by its status: pip knows its own index then, and fetches.
    return result.status === 0 ? result.output.trim() : null
  }
  return null
}

async function pageText(needs: PackageNeeds, url: URL, source: string, signal: AbortSignal): Promise<string> {
  try {
    const headers = { accept: 'text/html' }
    const response = await followRedirects(needs.fetch ?? fetch, { url, source, headers }, signal)
    const pieces: Uint8Array[] = []
    let bytes = 0
    for await (const piece of bodyChunks(response)) {
      if ((bytes += piece.length) > MOST_INDEX_BYTES || !response.ok) return ''
      pieces.push(piece)
    }
    return Buffer.concat(pieces).toString('utf8')
  } catch {
    signal.throwIfAborted()
    return ''
  }
}
