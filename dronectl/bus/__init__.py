# SPDX-License-Identifier: AGPL-3.0-or-later
"""MQTT: the only room that knows aiomqtt. Topics, payloads with their schemas, connection, our own broker."""
