/** What a peer says of itself to whoever collects metrics. */
import { get } from 'node:http'
import { socketPath } from '../../src/util/index.ts'
import type { RealPeer } from './support.ts'

/** Prometheus text, over the peer's own socket. */
export function metricsOf({ home }: RealPeer): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ socketPath: socketPath(home, process.env), path: '/metrics' }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve(text))
    }).on('error', reject)
  })
}

/** @param series name and labels, as they stand in the text. @returns NaN: there is none */
export function valueOf(text: string, series: string): number {
  const line = text.split('\n').find((each) => each.startsWith(`${series} `))
  return line === undefined ? Number.NaN : Number(line.slice(series.length))
}
