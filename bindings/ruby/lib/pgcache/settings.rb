# The settings of a cache: by keyword and from the environment. SPDX-License-Identifier: MIT
# frozen_string_literal: true

module PGCache
  # One setting: its name (a Symbol), default and allowed values, environment variable and a description, all in the library's words.
  Setting = Struct.new(:name, :default, :allowed, :environment, :description)

  class << self
    # All settings that Cache.new takes, in the order of the documentation.
    def settings
      Enumerator.produce(0, &:succ).lazy.map { |index| Raw.config_describe(index) }.take_while { |status,| status == Raw::OK }
                .map do |_, found|
        Setting.new(found.name.to_sym, found.default_value, found.allowed, found.environment, found.description).freeze
      end.to_a
    end

    # The SQL that Cache#init would run for these settings, for an administrator. Asks no server.
    def init_sql(**settings)
      _, value = Raw.init_sql(Settings.config(nil, settings))
      Raw.value_data(value).force_encoding(Encoding::UTF_8)
    end
  end

  module Settings # :nodoc:
    # Of the gem's own: reads go on without the server, as they do with any cache. The environment is stronger, the caller strongest.
    DEFAULTS = { on_error: "miss" }.freeze

    def self.config(url, settings)
      _, config = Raw.config_new
      set(config, DEFAULTS)
      Raw.config_load_environment(config)
      set(config, url ? { url: url, **settings } : settings)
      config
    end

    def self.set(config, settings)
      settings.each { |name, value| Raw.config_set(config, name.to_s, text(value)) }
    end

    def self.text(value)
      case value
      when nil then nil
      when true then "on"
      when false then "off"
      else value.to_s
      end
    end
    private_class_method :set, :text
  end
  private_constant :Settings
end
