/** One certificate, in bytes: the canonical JSON (RFC 8785) of `{body, sig}`, signed by an admin behind a domain of its own. */
import { canonicalJson, isCanonicalJson } from '../../util/index.ts'
import { verify } from '../identity.ts'
import type { EntrySigner } from './entry.ts'
import { certificateSchema } from './schema.ts'
import type { Certificate, CertificateBody } from './types.ts'

const DOMAIN = 'weft membership certificate 1\n'
/** More than the longest site takes. */
const MAX_BYTES = 2_048

function signedBytes(body: CertificateBody): Uint8Array {
  return Buffer.from(DOMAIN + canonicalJson(body))
}

export function makeCertificate(body: CertificateBody, signer: EntrySigner): Certificate {
  const sig = Buffer.from(signer.sign(signedBytes(body))).toString('hex')
  return { body, sig, bytes: new Uint8Array(Buffer.from(canonicalJson({ body, sig }))) }
}

/** Undefined for what is none, in its one spelling. Whether it is signed, and by whom, is asked elsewhere. */
export function readCertificate(bytes: Uint8Array): Certificate | undefined {
  if (bytes.length > MAX_BYTES) return undefined
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    const value = JSON.parse(text) as unknown
    const result = certificateSchema.safeParse(value)
    if (!result.success || !isCanonicalJson(text, value)) return undefined
    return { ...result.data, bytes: new Uint8Array(bytes) }
  } catch {
    return undefined
  }
}

/** Whether it is by the key that it names. */
export function isCertificateSigned({ body, sig }: Certificate): boolean {
  return verify(body.by, signedBytes(body), Buffer.from(sig, 'hex'))
}
