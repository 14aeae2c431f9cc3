"""Counts of orders, cached in the database that the orders are in: `python -m orders`. SPDX-License-Identifier: MIT"""
