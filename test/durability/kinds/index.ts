/** All kinds of state that a home keeps. */
import type { Kind } from '../kind.ts'
import { enrolment, invites } from './invites.ts'
import { membership } from './membership.ts'

export const KINDS: readonly Kind[] = [membership, invites, enrolment]
